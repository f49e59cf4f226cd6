//! Which paths the baseline ignores, for the diff: rules as they were when the project was seeded.
//!
//! Rules come from the layer's own `.gitignore` files, read lazily per directory, and from those
//! that hold without lying in the tree (`outer-ignores.json`: the user's file, `info/exclude`,
//! directories above a seeded part). What the guest writes has no say. Tracked files are never
//! ignored, nor is a directory that holds one. Sizes are bounded; a larger file rules nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::{Deserialize, Serialize};

use super::SeedError;
use super::beneath::{Rooted, as_path, child, lies_in, parent, shown};
use super::facts::SeedLayer;
use super::listing::TRACKED;
use super::manifest::Manifest;

const RULES_MOST: u64 = 1 << 20;
const CACHED_MOST: usize = 200_000;
pub(crate) const OUTER_FILE: &str = "outer-ignores.json";

/// Rules that hold from a directory of the checkout downwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OuterIgnore {
    pub(crate) dir: String,
    pub(crate) text: String,
}

/// Collects the rules that do not lie in the seeded tree, weakest first.
pub(crate) fn outer_ignores(
    work: &Rooted,
    prefix: &[u8],
    exclude: Option<&[u8]>,
    user_file: Option<&Path>,
) -> Result<Vec<OuterIgnore>, SeedError> {
    let mut rules = Vec::new();
    let mut add = |dir: &[u8], text: &[u8]| {
        if !text.is_empty() && text.len() as u64 <= RULES_MOST {
            rules.push(OuterIgnore { dir: shown(dir), text: shown(text) });
        }
    };
    if let Some(file) = user_file
        && let Ok(text) = std::fs::read(file)
    {
        add(b"", &text);
    }
    add(b"", exclude.unwrap_or(b""));
    if !prefix.is_empty() {
        let ends = prefix.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in std::iter::once(0).chain(ends) {
            let dir = &prefix[..end];
            if let Ok(Some(found)) = work.read(&child(dir, b".gitignore"), RULES_MOST) {
                add(dir, &found.bytes);
            }
        }
    }
    Ok(rules)
}

/// Answers whether the baseline ignores a path.
#[derive(Debug)]
pub struct IgnoreMatcher {
    /// Tree roots, top first; none when no rules are in force.
    trees: Vec<Rooted>,
    prefix: Vec<u8>,
    outer: Vec<(Vec<u8>, Gitignore)>,
    manifest_file: PathBuf,
    manifest: OnceLock<Manifest>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    rules: HashMap<Vec<u8>, Option<Arc<Gitignore>>>,
    dirs: HashMap<Vec<u8>, bool>,
}

/// The ignore rules of a layer; for a seed without Git's rules nothing is ignored.
pub fn ignore_rules(layer: &SeedLayer) -> Result<IgnoreMatcher, SeedError> {
    let mut matcher = IgnoreMatcher {
        trees: Vec::new(),
        prefix: layer.facts.prefix.clone().into_bytes(),
        outer: Vec::new(),
        manifest_file: layer.home.join("manifest"),
        manifest: OnceLock::new(),
        known: Mutex::default(),
    };
    if !layer.facts.git_rules {
        return Ok(matcher);
    }
    for tree in &layer.layers {
        let opened = Rooted::open(tree).map_err(|source| SeedError::io("open", tree, source))?;
        matcher.trees.push(opened);
    }
    let path = layer.home.join(OUTER_FILE);
    let bytes = std::fs::read(&path).map_err(|source| SeedError::io("read", &path, source))?;
    let outer: Vec<OuterIgnore> = serde_json::from_slice(&bytes)
        .map_err(|error| SeedError::StoreDamaged { path, why: error.to_string() })?;
    matcher.outer =
        outer.into_iter().map(|rules| (rules.dir.into_bytes(), compiled(&rules.text))).collect();
    Ok(matcher)
}

fn compiled(text: &str) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for line in text.lines() {
        // A line that is no pattern rules nothing, as in git.
        let _ = builder.add_line(None, line);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

impl IgnoreMatcher {
    /// Whether the baseline ignores `path`, which is relative to the tree's root.
    pub fn is_ignored(&self, path: &Path, is_dir: bool) -> bool {
        let path = path.as_os_str().as_encoded_bytes();
        if self.trees.is_empty() || path.is_empty() || !self.rules_ignore(path, is_dir) {
            return false;
        }
        let manifest = self.manifest.get_or_init(|| {
            // A damaged list must not hide changes: then nothing counts as untracked.
            Manifest::read(&self.manifest_file).unwrap_or_default()
        });
        let is_tracked = |flags: u8| flags & TRACKED != 0;
        manifest.len() > 0
            && !manifest.find(path).is_some_and(|line| is_tracked(line.flags))
            && !(is_dir && manifest.any_below(path, is_tracked))
    }

    /// The rules alone: a path is ignored with the directory it lies in.
    fn rules_ignore(&self, path: &[u8], is_dir: bool) -> bool {
        let above = parent(path);
        if !above.is_empty() && self.directory_ignored(above) {
            return true;
        }
        if is_dir { self.directory_ignored(path) } else { self.decide(path, false) }
    }

    fn directory_ignored(&self, dir: &[u8]) -> bool {
        if let Some(known) = self.known(|known| known.dirs.get(dir).copied()) {
            return known;
        }
        let above = parent(dir);
        let ignored =
            (!above.is_empty() && self.directory_ignored(above)) || self.decide(dir, true);
        self.known(|known| {
            if known.dirs.len() < CACHED_MOST {
                known.dirs.insert(dir.to_vec(), ignored);
            }
        });
        ignored
    }

    /// The nearest rule that says anything about the path.
    fn decide(&self, path: &[u8], is_dir: bool) -> bool {
        let mut dir = parent(path);
        loop {
            if let Some(rules) = self.rules_of(dir) {
                let below = if dir.is_empty() { path } else { &path[dir.len() + 1..] };
                match rules.matched(as_path(below), is_dir) {
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                    Match::None => {}
                }
            }
            if dir.is_empty() {
                break;
            }
            dir = parent(dir);
        }
        let whole = child(&self.prefix, path);
        for (dir, rules) in self.outer.iter().rev().filter(|(dir, _)| lies_in(&whole, dir)) {
            let below = if dir.is_empty() { &whole[..] } else { &whole[dir.len() + 1..] };
            match rules.matched(as_path(below), is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        false
    }

    fn rules_of(&self, dir: &[u8]) -> Option<Arc<Gitignore>> {
        if let Some(known) = self.known(|known| known.rules.get(dir).cloned()) {
            return known;
        }
        let rules = self.read_rules(dir).map(|text| Arc::new(compiled(&shown(&text))));
        self.known(|known| {
            if known.rules.len() < CACHED_MOST {
                known.rules.insert(dir.to_vec(), rules.clone());
            }
        });
        rules
    }

    /// The file as the merged tree shows it: a whiteout or a non-directory on the way hides what
    /// lies below it in the base.
    fn read_rules(&self, dir: &[u8]) -> Option<Vec<u8>> {
        let file = child(dir, b".gitignore");
        for tree in &self.trees {
            if let Ok(Some(found)) = tree.read(&file, RULES_MOST) {
                return Some(found.bytes);
            }
            let ends = file.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            for end in ends.chain([file.len()]) {
                match tree.kind(&file[..end]) {
                    Ok(Some(super::beneath::Kind::Directory)) => {}
                    Ok(None) => break,
                    _ => return None,
                }
            }
        }
        None
    }

    fn known<T>(&self, with: impl FnOnce(&mut Known) -> T) -> T {
        with(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
