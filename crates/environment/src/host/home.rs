//! The caller's home: where it is on the host and where it shows inside.
//!
//! Inside it has the same absolute path, so that absolute paths within toolchains keep working;
//! it is an empty writable folder of the skeleton with toolchain parts bound into it. A home that
//! cannot be rebuilt inside (`/`, below `/usr`, ...) becomes `/root` without per-user toolchains.

use std::path::{Component, Path, PathBuf};

use super::HostOptions;
use super::layout::Layout;
use super::place::Place;

/// Places that belong to the system or the machine, so no home can be put there.
const NOT_FOR_HOMES: &[&str] = &[
    "/usr",
    "/etc",
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/boot",
    "/nix",
    "/workspace",
];

/// The caller's home.
pub(super) struct Home {
    /// Absolute path inside.
    pub(super) inside: PathBuf,
    /// The host's directory, held open; none when it is not shown at all.
    pub(super) place: Option<Place>,
}

impl Home {
    /// The path inside as text; `find` lets only UTF-8 through.
    pub(super) fn inside_text(&self) -> String {
        self.inside.to_string_lossy().into_owned()
    }
}

/// A path that can be written into `passwd` and `PATH` as it is: absolute, plain, UTF-8.
pub(super) fn plain_absolute(path: &Path) -> bool {
    path.is_absolute()
        && path.to_str().is_some_and(|text| !text.contains([':', '\n', '\0']))
        && path.components().skip(1).all(|part| matches!(part, Component::Normal(_)))
}

pub(super) fn find(options: &HostOptions, layout: &mut Layout) -> Home {
    let nowhere = Home { inside: PathBuf::from("/root"), place: None };
    let Some(path) = options.home.as_deref() else {
        layout.notices.push("HOME is not set: no per-user toolchain is shown".to_owned());
        return nowhere;
    };
    let unusable = !plain_absolute(path)
        || path == Path::new("/")
        || NOT_FOR_HOMES.iter().any(|place| path.starts_with(place));
    if unusable {
        layout.notices.push(format!(
            "the home {} cannot be shown: no per-user toolchain is shown, HOME is /root",
            path.display()
        ));
        return nowhere;
    }
    match Place::open(path) {
        Ok(Some(place)) if place.real() != Path::new("/") => {
            Home { inside: path.components().collect(), place: Some(place) }
        }
        Ok(_) => Home { inside: path.components().collect(), place: None },
        Err(error) => {
            layout.notices.push(format!(
                "the home {} cannot be opened ({error}): no per-user toolchain is shown",
                path.display()
            ));
            Home { inside: path.components().collect(), place: None }
        }
    }
}
