//! Finds the per-user toolchains of the table and binds their parts.
//!
//! A toolchain shows at its own absolute path, in a writable folder of the skeleton, so that it can
//! keep locks and state beside the read-only parts. One that lies below `/usr` shows there already.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use pyro_model::BindMode::{self, Overlay, ReadOnly};
use rustix::io::Errno;

use super::fence::{Fence, looks_like_credential};
use super::home::{Home, plain_absolute};
use super::layout::Layout;
use super::place::{Place, Seen};
use super::table::{CARGO, TABLE, Toolchain};
use super::versions;
use super::{HostOptions, HostTool};

/// The variables of the host that are looked at.
pub(super) fn variables_read() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter_map(|toolchain| toolchain.variable)
}

pub(super) fn add(layout: &mut Layout, options: &HostOptions, home: &Home, fence: &Fence) {
    for toolchain in TABLE {
        let found = Finding { toolchain, options, home, fence }.place(layout);
        if let Some((place, inside)) = found {
            add_one(layout, toolchain, options, home, &place, &inside);
        }
    }
}

/// Looks for one toolchain's place.
struct Finding<'a> {
    toolchain: &'a Toolchain,
    options: &'a HostOptions,
    home: &'a Home,
    fence: &'a Fence,
}

impl Finding<'_> {
    /// The place on the host, and where it shows inside.
    fn place(&self, layout: &mut Layout) -> Option<(Place, PathBuf)> {
        let named = self
            .toolchain
            .variable
            .and_then(|name| self.options.toolchain_variables.get(name))
            .filter(|value| !value.is_empty());
        let found = match named {
            Some(value) => self.named(value, layout),
            None => self.by_default(layout),
        };
        let (place, inside) = found?;
        if let Some(why) = place.distrusted_by(self.options.uid) {
            layout.notices.push(self.left_out(place.real(), why));
            return None;
        }
        Some((place, inside))
    }

    /// Where the variable says; the user has named that place, so it may be anywhere unfenced.
    fn named(&self, value: &OsStr, layout: &mut Layout) -> Option<(Place, PathBuf)> {
        // GOPATH is a list; what is installed goes to its first place.
        let first = value.to_str().map_or("", |text| text.split(':').next().unwrap_or(""));
        let path = Path::new(first);
        // The system's directories are the invented ones in tests.
        let on_host = match path.strip_prefix("/") {
            Ok(below_root) if path.starts_with("/usr") => self.options.system_root.join(below_root),
            _ => path.to_path_buf(),
        };
        let opened = if plain_absolute(path) { Place::open(&on_host) } else { Ok(None) };
        let place = match opened {
            Ok(place) => place?,
            Err(error) => {
                layout.notices.push(self.left_out(path, &error.to_string()));
                return None;
            }
        };
        let inside: PathBuf = path.components().collect();
        let refused = |path: &Path| match layout.shows(&inside) && layout.exposes(place.real()) {
            true => None,
            false => self.fence.refusal(path),
        };
        match refused(place.real()).or_else(|| refused(&inside)) {
            Some(why) => {
                layout.notices.push(self.left_out(path, &why));
                None
            }
            None => Some((place, inside)),
        }
    }

    fn by_default(&self, layout: &mut Layout) -> Option<(Place, PathBuf)> {
        let home = self.home.place.as_ref()?;
        for relative in self.toolchain.places {
            let path = self.home.inside.join(relative);
            match home.below(Path::new(relative)) {
                Ok(Some(place)) => return Some((place, path)),
                Ok(None) => {}
                Err(Errno::LOOP | Errno::XDEV) => {
                    layout.notices.push(self.left_out(&path, &self.ways_out_of_a_link()));
                }
                Err(error) => layout.notices.push(self.left_out(&path, &error.to_string())),
            }
        }
        None
    }

    fn ways_out_of_a_link(&self) -> String {
        match self.toolchain.variable {
            Some(variable) => format!("it is a link; name its place in {variable}"),
            None => "it is a link; name its place in host.extra_paths".to_owned(),
        }
    }

    fn left_out(&self, path: &Path, why: &str) -> String {
        format!("{} at {} is not shown: {why}", self.toolchain.name, path.display())
    }
}

fn add_one(
    layout: &mut Layout,
    toolchain: &Toolchain,
    options: &HostOptions,
    home: &Home,
    place: &Place,
    at: &Path,
) {
    // Hidden first: parts whose site configuration cannot be found for certain are not shown.
    for pattern in toolchain.masks {
        match place.matching(pattern) {
            Ok(found) => found
                .iter()
                .filter(|path| !harmless_git_config(place, path))
                .for_each(|path| layout.hide(place, at, path)),
            Err(error) => {
                let at = at.display();
                layout.notices.push(format!("{} at {at} is not shown: {error}", toolchain.name));
                return;
            }
        }
    }
    let shown_already = layout.shows(at);
    let moved = shown_already && toolchain.name == CARGO;
    let inside = if moved { home.inside.join(".cargo") } else { at.to_path_buf() };
    let mut shown = false;
    for (pattern, mode) in toolchain.parts {
        let parts = match pattern.contains('*') {
            false => vec![PathBuf::from(pattern)],
            true => place.matching(pattern).unwrap_or_default(),
        };
        for part in parts {
            let part = Part { relative: &part, mode: *mode };
            shown |= add_part(layout, toolchain, options, place, &inside, &part);
        }
    }
    if !shown {
        return;
    }
    if let Some(variable) = toolchain.variable {
        layout.variables.insert(variable.to_owned(), inside.to_string_lossy().into_owned());
    }
    add_home_files(layout, toolchain, options, home);
    layout.tool_paths.extend(toolchain.paths.iter().map(|path| inside.join(path)));
    layout.tool_paths.extend(versions::paths(toolchain.name, place, &inside, &options.path));
    layout.tools.push(HostTool {
        name: toolchain.name.to_owned(),
        version: versions::selected(toolchain.name, place),
        path: inside,
    });
    if toolchain.name == CARGO {
        note_cargo_sources(layout, place);
    }
}

struct Part<'a> {
    relative: &'a Path,
    mode: BindMode,
}

/// Binds one part; false when it is missing or left out.
fn add_part(
    layout: &mut Layout,
    toolchain: &Toolchain,
    options: &HostOptions,
    place: &Place,
    inside: &Path,
    part: &Part<'_>,
) -> bool {
    let (entry, elsewhere) = match place.look(part.relative) {
        Seen::Here(entry) => (entry, false),
        Seen::Elsewhere(entry) => (entry, true),
        Seen::Nothing => return false,
        Seen::Unreadable(error) => {
            let path = inside.join(part.relative);
            layout.notices.push(format!("{} is not shown: {error}", path.display()));
            return false;
        }
    };
    let whole = part.relative.as_os_str().is_empty();
    let refusal = if elsewhere && !layout.exposes(&entry.real) {
        Some("it is a link to somewhere else")
    } else if whole && !layout.shows(inside) && !free_of_credentials(place) {
        Some("something in it looks like a credential")
    } else {
        entry.distrusted_by(options.uid)
    };
    if let Some(why) = refusal {
        let path = place.real().join(part.relative);
        layout.notices.push(format!("{} ({}) is not shown: {why}", path.display(), toolchain.name));
        return false;
    }
    let target = join(inside, part.relative);
    // What shows at its own path already needs no mount, unless it is to be written to.
    if part.mode == Overlay || !layout.shows(&target) {
        layout.bind(entry.real, target, part.mode, entry.directory);
    }
    true
}

/// For places that are shown whole because a variable names them.
fn free_of_credentials(place: &Place) -> bool {
    place.names().is_ok_and(|names| !names.iter().any(|name| looks_like_credential(name)))
}

fn add_home_files(layout: &mut Layout, row: &Toolchain, options: &HostOptions, home: &Home) {
    let Some(place) = &home.place else { return };
    for file in row.home_files {
        if let Seen::Here(entry) = place.look(Path::new(file))
            && entry.real == place.real().join(file)
            && !entry.directory
            && entry.distrusted_by(options.uid).is_none()
        {
            layout.bind(entry.real, home.inside.join(file), ReadOnly, false);
        }
    }
}

/// A plugin is a clone, whose configuration holds a token when the remote's URL does; most do not,
/// and a mask for each would be a mount for each in every run.
fn harmless_git_config(place: &Place, path: &Path) -> bool {
    path.ends_with(".git/config")
        && place.read_small(path).is_some_and(|text| {
            let text = text.to_ascii_lowercase();
            let url_user = text.split("://").skip(1).any(|url| {
                url.lines().next().unwrap_or("").split('/').next().unwrap_or("").contains('@')
            });
            !url_user
                && ["extraheader", "token", "password"].iter().all(|word| !text.contains(word))
        })
}

/// Cargo's configuration is not passed on, since it may hold tokens; a replaced source matters.
fn note_cargo_sources(layout: &mut Layout, place: &Place) {
    let replaced = ["config.toml", "config"]
        .iter()
        .filter_map(|name| place.read_small(Path::new(name)))
        .any(|text| text.lines().any(|line| line.trim_start().starts_with("replace-with")));
    if replaced {
        let at = place.real().display();
        layout.notices.push(format!(
            "{at}/config.toml replaces a source; it is not shown, so cargo inside uses the \
             project's own configuration and the registry cache of crates.io"
        ));
    }
}

/// `join` without the slash that joining an empty path leaves.
fn join(base: &Path, relative: &Path) -> PathBuf {
    if relative.as_os_str().is_empty() { base.to_path_buf() } else { base.join(relative) }
}
