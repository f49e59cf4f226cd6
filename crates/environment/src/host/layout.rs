//! What the container's root will be made of, while it is being put together.
//!
//! Nodes are the skeleton's own directories, files and links by absolute path inside; binds are
//! laid over them. Promises: after `place_mount_points` every bind has a mount point in the
//! skeleton or in a bind above it, binds stand parents first, and none is there twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pyro_model::{Bind, BindMode};

use super::HostTool;
use super::place::{Place, Seen};
use super::skeleton::Skeleton;

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
    pub(super) nodes: BTreeMap<PathBuf, Node>,
    binds: Vec<Planned>,
    masks: Vec<(PathBuf, Mask)>,
    /// `PATH` entries of toolchains, for callers whose `PATH` lacks them.
    pub(super) tool_paths: Vec<PathBuf>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) tools: Vec<HostTool>,
    pub(super) notices: Vec<String>,
}

impl Layout {
    pub(super) fn directory(&mut self, path: impl Into<PathBuf>, mode: u32) {
        let path = path.into();
        self.parents_of(&path);
        self.nodes.insert(path, Node::Directory { mode });
    }

    pub(super) fn file(&mut self, path: impl Into<PathBuf>, content: impl Into<String>) {
        let path = path.into();
        self.parents_of(&path);
        self.nodes.insert(path, Node::File { content: content.into() });
    }

    /// A link; gives way to what is there already.
    pub(super) fn link(&mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) {
        let path = path.into();
        if !self.nodes.contains_key(&path) && self.parents_of(&path) {
            self.nodes.insert(path, Node::Link { target: target.into() });
        }
    }

    pub(super) fn bind(&mut self, source: PathBuf, target: PathBuf, mode: BindMode, dir: bool) {
        if !self.binds.iter().any(|other| other.bind.target == target) {
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
        if !self.masks.iter().any(|(other, _)| *other == target) {
            self.masks.push((target, mask));
        }
    }

    /// Whether a path inside lies below a bind, so that the host's content shows there.
    pub(super) fn shows(&self, inside: &Path) -> bool {
        let linked = self.nodes.iter().any(|(at, node)| {
            matches!(node, Node::Link { target } if target.starts_with("usr") || target.starts_with("/usr"))
                && inside.starts_with(at)
        });
        linked || self.binds.iter().any(|planned| inside.starts_with(&planned.bind.target))
    }

    /// Whether a host path is the content of a bind.
    pub(super) fn exposes(&self, real: &Path) -> bool {
        self.binds.iter().any(|planned| real.starts_with(&planned.bind.source))
    }

    /// Sorts the binds and gives each a place to be mounted on.
    pub(super) fn place_mount_points(&mut self) {
        let mut planned = std::mem::take(&mut self.binds);
        planned.sort_by(|one, other| one.bind.target.cmp(&other.bind.target));
        for next in planned {
            // What a bind above shows already needs neither a mount nor a mount point.
            let above = self.binds.iter().rev().find(|o| next.bind.target.starts_with(&o.bind.target));
            if let Some(above) = above {
                let same = next.bind.target.strip_prefix(&above.bind.target).is_ok_and(|rest| {
                    above.bind.source.join(rest) == next.bind.source
                        && above.bind.mode == next.bind.mode
                });
                if !same {
                    self.binds.push(next);
                }
                continue;
            }
            let fits = self.parents_of(&next.bind.target) && self.mount_point(&next);
            if fits {
                self.binds.push(next);
            } else {
                let path = next.bind.target.display();
                self.notices.push(format!("{path} is not shown: the root has something else there"));
            }
        }
    }

    /// Every bind and mask, parents first.
    pub(super) fn all_binds(&self, skeleton: &Skeleton) -> Vec<Bind> {
        let mut binds: Vec<Bind> = self.binds.iter().map(|planned| planned.bind.clone()).collect();
        for (target, mask) in &self.masks {
            let shown = binds.iter().any(|bind| target.starts_with(&bind.target));
            if shown {
                let source = skeleton.mask(*mask);
                binds.push(Bind { source, target: target.clone(), mode: BindMode::ReadOnly });
            }
        }
        // A mask stands behind the bind with the same target, if there ever is one.
        binds.sort_by(|one, other| one.target.cmp(&other.target));
        binds
    }

    fn mount_point(&mut self, planned: &Planned) -> bool {
        let target = planned.bind.target.clone();
        match self.nodes.get(&target) {
            None if planned.directory => {
                self.nodes.insert(target, Node::Directory { mode: 0o755 });
                true
            }
            None => {
                self.nodes.insert(target, Node::File { content: String::new() });
                true
            }
            Some(Node::Directory { .. }) => planned.directory,
            Some(Node::File { .. }) => !planned.directory,
            Some(Node::Link { .. }) => false,
        }
    }

    /// Makes the missing parents; false, and nothing made, when one of them is no directory.
    fn parents_of(&mut self, path: &Path) -> bool {
        let mut missing = Vec::new();
        for parent in path.ancestors().skip(1).filter(|parent| *parent != Path::new("/")) {
            match self.nodes.get(parent) {
                Some(Node::Directory { .. }) => break,
                Some(_) => return false,
                None => missing.push(parent.to_path_buf()),
            }
        }
        let made = missing.into_iter().map(|parent| (parent, Node::Directory { mode: 0o755 }));
        self.nodes.extend(made);
        true
    }
}
