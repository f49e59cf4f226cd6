//! `PATH` inside: what the caller's has and shows inside, in the caller's order; then toolchains
//! that the caller's lacks; then the standard directories.

use std::path::{Path, PathBuf};

use super::HostOptions;
use super::home::plain_absolute;
use super::layout::Layout;
use super::system::has_nix_store;

const STANDARD: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

pub(super) fn inside(options: &HostOptions, layout: &Layout) -> String {
    let nix = has_nix_store(&options.system_root);
    let callers = std::env::split_paths(&options.path).filter_map(|entry| {
        if !plain_absolute(&entry) {
            None
        } else if layout.shows(&entry) {
            Some(entry)
        } else if nix {
            // Profiles are links into the store, from places that are not shown.
            entry.canonicalize().ok().filter(|real| plain_absolute(real) && layout.shows(real))
        } else {
            None
        }
    });
    let tools = layout.tool_paths.iter().filter(|path| layout.shows(path)).cloned();
    let standard = STANDARD.iter().map(PathBuf::from);

    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in callers.chain(tools).chain(standard) {
        let entry: PathBuf = entry.components().collect();
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    let texts: Vec<&str> = entries.iter().filter_map(|entry: &PathBuf| text(entry)).collect();
    texts.join(":")
}

fn text(path: &Path) -> Option<&str> {
    path.to_str()
}
