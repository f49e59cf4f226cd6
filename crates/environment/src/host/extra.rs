//! `host.extra_paths`: what the user's own configuration shows in addition, read-only.
//!
//! Promises: a path that is, contains or could be a credential is refused, and the refusal is a
//! notice, so that the rest still works. Looks two levels deep and no further: a whole toolchain is
//! not walked on every call, and deeper down such names mostly mean something else.

use std::path::{Path, PathBuf};

use pyro_model::BindMode;

use super::HostOptions;
use super::fence::{Fence, certainly_credential, looks_like_credential};
use super::home::{Home, plain_absolute};
use super::layout::Layout;
use super::place::{Place, Seen};

pub(super) fn add(layout: &mut Layout, options: &HostOptions, home: &Home, fence: &Fence) {
    for path in &options.extra_paths {
        if let Err(why) = add_one(layout, options, home, fence, path) {
            let path = path.display();
            layout.notices.push(format!("host.extra_paths: {path} is not shown: {why}"));
        }
    }
}

fn add_one(
    layout: &mut Layout,
    options: &HostOptions,
    home: &Home,
    fence: &Fence,
    path: &Path,
) -> Result<(), String> {
    let inside: PathBuf = match path.strip_prefix("~") {
        Ok(below_home) => home.inside.join(below_home),
        Err(_) => path.components().collect(),
    };
    if !plain_absolute(&inside) {
        return Err("it is not an absolute path without `..`".to_owned());
    }
    let refused = |path: &Path| match fence.refusal(path) {
        None if fence.among_settings(path) => Err("it lies among settings".to_owned()),
        None => Ok(()),
        Some(why) => Err(why),
    };
    refused(&inside)?;
    if layout.shows(&inside) {
        return Ok(());
    }
    let (Some(parent), Some(name)) = (inside.parent(), inside.file_name()) else {
        return Err("it holds the whole home".to_owned());
    };
    let parent = Place::open(parent).map_err(|error| error.to_string())?.ok_or("it is missing")?;
    let entry = match parent.look(Path::new(name)) {
        Seen::Here(entry) | Seen::Elsewhere(entry) => entry,
        Seen::Nothing => return Err("it is missing".to_owned()),
        Seen::Unreadable(error) => return Err(error.to_string()),
    };
    refused(&entry.real)?;
    if let Some(why) = entry.distrusted_by(options.uid) {
        return Err(why.to_owned());
    }
    if entry.directory {
        let place = Place::open(&entry.real).map_err(|error| error.to_string())?;
        contains_no_credential(&place.ok_or("it is missing")?)?;
    }
    layout.bind(entry.real, inside, BindMode::ReadOnly, entry.directory);
    Ok(())
}

fn contains_no_credential(place: &Place) -> Result<(), String> {
    let names = place.names().map_err(|error| error.to_string())?;
    if let Some(name) = names.iter().find(|name| looks_like_credential(name)) {
        return Err(format!("it contains {name}, which looks like a credential"));
    }
    let below = place.matching("*/*").map_err(|error| error.to_string())?;
    let certain = |path: &&PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(certainly_credential)
    };
    match below.iter().find(certain) {
        Some(path) => Err(format!("it contains {}, which is a credential", path.display())),
        None => Ok(()),
    }
}
