//! What the container's root will be made of, while it is being put together.
//!
//! Nodes are the skeleton's own directories, files and links by absolute path inside; binds are
//! laid over them. Promises: after `place_mount_points` every bind has a mount point in the
//! skeleton or in a bind above it, binds stand parents first, and none is there twice. Paths inside
//! are plain and UTF-8, and are compared as text: comparing them part by part took half the time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pyro_model::{Bind, BindMode};

use super::HostTool;
use super::place::{Place, Seen};
use super::skeleton::Skeleton;

/// The skeleton's own content, parents before children.
pub(super) type Nodes = BTreeMap<String, Node>;

/// Something of the skeleton's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Directory { mode: u32 },
    File { content: String },
    Link { target: PathBuf },
}

/// What a mask puts in the place of something of the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mask {
    Directory,
    File,
    /// Maven refuses an empty settings file.
    MavenSettings,
}

#[derive(Debug)]
struct Planned {
    bind: Bind,
    directory: bool,
}

/// The root in the making.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) nodes: Nodes,
    /// The nodes that are links into `/usr`, so that what is below them shows.
    merged: Vec<PathBuf>,
    binds: Vec<Planned>,
    masks: Vec<(PathBuf, Mask)>,
    /// `PATH` entries of toolchains, for callers whose `PATH` lacks them.
    pub(super) tool_paths: Vec<PathBuf>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) tools: Vec<HostTool>,
    pub(super) notices: Vec<String>,
}

impl Layout {
    pub(super) fn directory(&mut self, path: &str, mode: u32) {
        self.parents_of(path);
        self.nodes.insert(path.to_owned(), Node::Directory { mode });
    }

    pub(super) fn file(&mut self, path: &str, content: impl Into<String>) {
        self.parents_of(path);
        self.nodes.insert(path.to_owned(), Node::File { content: content.into() });
    }

    /// A link; gives way to what is there already.
    pub(super) fn link(&mut self, path: &str, target: impl Into<PathBuf>) {
        if !self.nodes.contains_key(path) && self.parents_of(path) {
            self.nodes.insert(path.to_owned(), Node::Link { target: target.into() });
        }
    }

    /// A link of the root into `/usr`.
    pub(super) fn merged_link(&mut self, path: &str, target: impl Into<PathBuf>) {
        self.link(path, target);
        self.merged.push(PathBuf::from(path));
    }

    pub(super) fn bind(&mut self, source: PathBuf, target: PathBuf, mode: BindMode, dir: bool) {
        if !self.binds.iter().any(|other| same(&other.bind.target, &target)) {
            self.binds.push(Planned { bind: Bind { source, target, mode }, directory: dir });
        }
    }

    /// Puts a mask over what is at `relative` below a place that shows at `inside`, if anything is.
    ///
    /// A link is not masked itself: what it leads to is masked when it lies in the same place, and
    /// else shows only where some other bind was judged fit to show it.
    pub(super) fn hide(&mut self, place: &Place, inside: &Path, relative: &Path) {
        let Seen::Here(entry) = place.look(relative) else { return };
        let Ok(within) = entry.real.strip_prefix(place.real()) else { return };
        let mask = match within.file_name().and_then(|name| name.to_str()) {
            _ if entry.directory => Mask::Directory,
            Some("settings.xml") => Mask::MavenSettings,
            _ => Mask::File,
        };
        let target = inside.join(within);
        if !self.masks.iter().any(|(other, _)| same(other, &target)) {
            self.masks.push((target, mask));
        }
    }

    /// Whether a path inside lies below a bind, so that the host's content shows there.
    pub(super) fn shows(&self, inside: &Path) -> bool {
        self.merged.iter().any(|link| lies_in(inside, link))
            || self.binds.iter().any(|planned| lies_in(inside, &planned.bind.target))
    }

    /// Whether a host path is the content of a bind.
    pub(super) fn exposes(&self, real: &Path) -> bool {
        self.binds.iter().any(|planned| lies_in(real, &planned.bind.source))
    }

    /// Sorts the binds and gives each a place to be mounted on.
    pub(super) fn place_mount_points(&mut self) {
        let mut planned = std::mem::take(&mut self.binds);
        planned.sort_by(|one, other| by_text(&one.bind.target, &other.bind.target));
        for next in planned {
            let target = &next.bind.target;
            let above = self.binds.iter().rev().find(|o| lies_in(target, &o.bind.target));
            if let Some(above) = above {
                // What the bind above shows already needs neither a mount nor a mount point.
                let shown = target.strip_prefix(&above.bind.target).is_ok_and(|rest| {
                    above.bind.source.join(rest) == next.bind.source
                        && above.bind.mode == next.bind.mode
                });
                if !shown {
                    self.binds.push(next);
                }
            } else if self.mount_point(&next) {
                self.binds.push(next);
            } else {
                let path = next.bind.target.display();
                self.notices.push(format!("{path} is not shown: it cannot be put into the root"));
            }
        }
    }

    /// Every bind and mask, parents first.
    pub(super) fn all_binds(&self, skeleton: &Skeleton) -> Vec<Bind> {
        let mut binds: Vec<Bind> = self.binds.iter().map(|planned| planned.bind.clone()).collect();
        for (target, mask) in &self.masks {
            if self.binds.iter().any(|planned| lies_in(target, &planned.bind.target)) {
                let source = skeleton.mask(*mask);
                binds.push(Bind { source, target: target.clone(), mode: BindMode::ReadOnly });
            }
        }
        // Stable, so a mask stands behind a bind with the same target.
        binds.sort_by(|one, other| by_text(&one.target, &other.target));
        binds
    }

    fn mount_point(&mut self, planned: &Planned) -> bool {
        let Some(target) = planned.bind.target.to_str() else { return false };
        match self.nodes.get(target) {
            Some(Node::Directory { .. }) => planned.directory,
            Some(Node::File { .. }) => !planned.directory,
            Some(Node::Link { .. }) => false,
            None => {
                let node = match planned.directory {
                    true => Node::Directory { mode: 0o755 },
                    false => Node::File { content: String::new() },
                };
                let fits = self.parents_of(target);
                if fits {
                    self.nodes.insert(target.to_owned(), node);
                }
                fits
            }
        }
    }

    /// Makes the missing parents; false, and nothing made, when one of them is no directory.
    fn parents_of(&mut self, path: &str) -> bool {
        let parents = path
            .rmatch_indices('/')
            .map(|(end, _)| &path[..end])
            .filter(|parent| !parent.is_empty());
        let mut missing = Vec::new();
        for parent in parents {
            match self.nodes.get(parent) {
                Some(Node::Directory { .. }) => break,
                Some(_) => return false,
                None => missing.push(parent.to_owned()),
            }
        }
        let made = missing.into_iter().map(|parent| (parent, Node::Directory { mode: 0o755 }));
        self.nodes.extend(made);
        true
    }
}

/// Whether a plain absolute path is `above` or below it.
pub(super) fn lies_in(path: &Path, above: &Path) -> bool {
    let (path, above) = (path.as_os_str().as_encoded_bytes(), above.as_os_str().as_encoded_bytes());
    path.strip_prefix(above).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}

fn same(one: &Path, other: &Path) -> bool {
    one.as_os_str() == other.as_os_str()
}

/// A path is a prefix of what is below it, so this order has parents first.
fn by_text(one: &Path, other: &Path) -> std::cmp::Ordering {
    one.as_os_str().cmp(other.as_os_str())
}
