//! Making `<store>/<key>`: a full layer, or only what differs from the full one of the same origin.
//!
//! A layer is built under another name and renamed in as the last step, so it is there whole or
//! not at all. A delta always lies directly over a full base; what the base has too much is hidden
//! by overlay whiteouts. Where the change is large, the base is busy or whiteouts cannot be made
//! here, the layer is built full.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, Timespec};
use sha2::{Digest, Sha256};

use super::SeedError;
use super::beneath::{Rooted, as_path, lies_in, parent};
use super::copying::{self, Sources};
use super::facts::{SeedFacts, SeedLimits, Skipped};
use super::head::{self, HeadDirty};
use super::ignore_rules::{OUTER_FILE, OuterIgnore};
use super::listing::{ABSENT, Entry, From, hex};
use super::locks::{Building, Lease, private_dir, random_name};
use super::manifest::{self, Difference, Manifest};
use super::store;

/// A delta may change this share of the paths (one in so many) and of the bytes.
const PATHS_SHARE: usize = 5;
const BYTES_SHARE: u64 = 2;
/// Below this many bytes the share of bytes does not matter.
const BYTES_FREE: u64 = 64 << 20;
const SKIPPED_MOST: usize = 1000;

/// Everything a layer is made from.
pub(crate) struct Plan<'a> {
    pub(crate) store: &'a Path,
    pub(crate) building: &'a Building,
    /// Names the origin, for finding its last full layer; `None` builds full.
    pub(crate) origin: Option<String>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) work: &'a Rooted,
    pub(crate) git: Option<&'a Rooted>,
    pub(crate) listed_at: Option<Timespec>,
    pub(crate) limits: SeedLimits,
    /// With the key filled in, and everything else that is known beforehand.
    pub(crate) facts: SeedFacts,
    pub(crate) head_dirty: Vec<HeadDirty>,
    pub(crate) outer: Vec<OuterIgnore>,
    pub(crate) oid_len: usize,
}

struct Base {
    key: String,
    manifest: Manifest,
    /// Held until the new layer names it.
    _lease: Lease,
}

/// Builds and renames in; returns the facts with the final key. The caller holds the key's lock.
pub(crate) fn assemble(mut plan: Plan<'_>) -> Result<SeedFacts, SeedError> {
    plan.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    check_limits(&plan)?;
    let layer = plan.building.layer();
    private_dir(&layer, false).map_err(|source| SeedError::io("create", &layer, source))?;
    let tree = make_tree(&layer)?;
    let base = plan.origin.as_deref().and_then(|origin| base_of(plan.store, origin));
    let mut made = None;
    if let Some(base) = base {
        let difference = manifest::compare(&base.manifest, &mut plan.entries);
        if is_small(&plan.entries, &difference, &base) {
            made = fill_delta(&mut plan, &base, difference, &tree)?.map(|lease| (base, lease));
            if made.is_none() {
                // Whiteouts are refused here: begin again with a full tree.
                std::fs::remove_dir_all(&tree)
                    .map_err(|source| SeedError::io("remove", &tree, source))?;
                make_tree(&layer)?;
            }
        }
    }
    let unsettled = match &made {
        Some((base, unsettled)) => {
            plan.facts.base = Some(base.key.clone());
            *unsettled
        }
        None => {
            let places = present(&plan.entries);
            let unsettled = fill(&mut plan, &places, &tree, 0)?.0;
            plan.facts.base = None;
            unsettled
        }
    };
    if unsettled {
        // The tree is a mix of states: good for this workspace, never to be found again.
        let key = Sha256::digest(format!("{} {}", plan.facts.key, random_name()?));
        plan.facts.key = hex(&key);
        let notice = "the project changed while it was being copied";
        plan.facts.notices.push(notice.into());
    }
    finish(&mut plan, &layer)?;
    Ok(plan.facts)
}

fn present(entries: &[Entry]) -> Vec<usize> {
    (0..entries.len()).filter(|place| entries[*place].flags & ABSENT == 0).collect()
}

pub(crate) fn make_tree(layer: &Path) -> Result<PathBuf, SeedError> {
    let tree = layer.join("tree");
    private_dir(&tree, false)
        .and_then(|()| std::fs::set_permissions(&tree, PermissionsExt::from_mode(0o755)))
        .map_err(|source| SeedError::io("create", &tree, source))?;
    Ok(tree)
}

fn counted(entry: &Entry) -> bool {
    entry.flags & ABSENT == 0
        && !matches!(entry.from, From::Directory | From::Nowhere)
        && !lies_in(&entry.path, b".git")
}

fn check_limits(plan: &Plan<'_>) -> Result<(), SeedError> {
    let files = plan.entries.iter().filter(|entry| counted(entry)).count() as u64;
    let bytes = plan.entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size));
    let over = |limit: String| {
        let what = plan.work.path().display().to_string();
        Err(SeedError::TooLarge { what, limit })
    };
    if files > plan.limits.files {
        return over(format!("{} files", plan.limits.files));
    }
    if bytes > plan.limits.bytes {
        return over(format!("{} GiB", plan.limits.bytes >> 30));
    }
    Ok(())
}

fn base_of(store: &Path, origin: &str) -> Option<Base> {
    let key = store::full_layer_of(store, origin)?;
    // Never waiting here: a builder that waits for another one could wait in a circle.
    let lease = Lease::take(store, &key, false, false).ok()??;
    let facts = store::read_facts(store, &key).ok()??;
    let manifest = Manifest::read(&store.join(&key).join("manifest")).ok()?;
    facts.base.is_none().then_some(Base { key, manifest, _lease: lease })
}

fn is_small(entries: &[Entry], difference: &Difference, base: &Base) -> bool {
    let paths = difference.changed.len() + difference.removed.len();
    let bytes: u64 = difference.changed.iter().map(|place| entries[*place].size).sum();
    let all: u64 = base.manifest.lines().map(|line| line.size).sum();
    paths <= (entries.len() / PATHS_SHARE).max(32) && bytes <= (all / BYTES_SHARE).max(BYTES_FREE)
}

/// Copies the entries at `places` and writes down what became of them; returns whether the source
/// changed meanwhile, and the paths that could not be brought.
fn fill(
    plan: &mut Plan<'_>,
    places: &[usize],
    tree: &Path,
    already: u64,
) -> Result<(bool, Vec<Vec<u8>>), SeedError> {
    let sources = Sources { work: plan.work, git: plan.git, listed_at: plan.listed_at };
    let copied = copying::copy(&plan.entries, places, sources, tree, &plan.limits, already)?;
    let mut missing = Vec::new();
    for (place, size) in copied.sizes {
        let entry = &mut plan.entries[place];
        match size {
            Some(size) => entry.size = size,
            None => {
                entry.flags |= ABSENT;
                missing.push(entry.path.clone());
            }
        }
    }
    plan.facts.skipped.extend(copied.skipped);
    Ok((copied.unsettled, missing))
}

/// Fills the tree with what differs from the base; `None` where whiteouts cannot be made.
fn fill_delta(
    plan: &mut Plan<'_>,
    base: &Base,
    difference: Difference,
    tree: &Path,
) -> Result<Option<bool>, SeedError> {
    if !difference.removed.is_empty() && !can_whiteout(tree) {
        return Ok(None);
    }
    let all: u64 = plan.entries.iter().map(|entry| entry.size).sum();
    let changed: u64 = difference.changed.iter().map(|place| plan.entries[*place].size).sum();
    let already = all.saturating_sub(changed);
    let skipped_before = plan.facts.skipped.len();
    let (unsettled, missing) = fill(plan, &difference.changed, tree, already)?;
    let mut removed = difference.removed;
    let stands = |path: &[u8]| {
        base.manifest.find(path).is_some_and(|line| line.flags & ABSENT == 0)
            || base.manifest.any_below(path, |flags| flags & ABSENT == 0)
    };
    removed.extend(missing.into_iter().filter(|path| stands(path)));
    removed.sort_unstable();
    let root = Rooted::open(tree).map_err(|source| SeedError::io("open", tree, source))?;
    for path in manifest::whiteouts(&removed, &plan.entries) {
        // The directories on the way stay in the merged tree, so they may stand here too.
        if !parent(&path).is_empty() {
            let dir = tree.join(as_path(parent(&path)));
            make_directories(tree, &dir)?;
        }
        if whiteout(&root, &path).is_err() {
            for entry in &mut plan.entries {
                if entry.from != From::Nowhere {
                    entry.flags &= !ABSENT;
                }
            }
            plan.facts.skipped.truncate(skipped_before);
            return Ok(None);
        }
    }
    Ok(Some(unsettled))
}

fn make_directories(tree: &Path, dir: &Path) -> Result<(), SeedError> {
    let below: Vec<&Path> = dir
        .ancestors()
        .take_while(|above| *above != tree)
        .filter(|above| !above.exists())
        .collect();
    for dir in below.into_iter().rev() {
        private_dir(dir, false)
            .and_then(|()| std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)))
            .map_err(|source| SeedError::io("create", dir, source))?;
    }
    Ok(())
}

fn whiteout(tree: &Rooted, path: &[u8]) -> rustix::io::Result<()> {
    rustix::fs::mknodat(tree.fd(), path, FileType::CharacterDevice, Mode::empty(), 0)
}

fn can_whiteout(tree: &Path) -> bool {
    let probe = tree.with_file_name("whiteout-probe");
    let made =
        rustix::fs::mknodat(rustix::fs::CWD, &probe, FileType::CharacterDevice, Mode::empty(), 0);
    made.is_ok() && std::fs::remove_file(&probe).is_ok()
}

/// Writes what lies beside the tree and renames the layer in.
fn finish(plan: &mut Plan<'_>, layer: &Path) -> Result<(), SeedError> {
    let facts = &mut plan.facts;
    let files = plan.entries.iter().filter(|entry| counted(entry));
    (facts.files, facts.bytes) =
        files.fold((0, 0), |(files, bytes), entry| (files + 1, bytes + entry.size));
    trim(facts);
    manifest::write(&layer.join("manifest"), &plan.entries)?;
    if facts.git_rules {
        head::write(layer, &plan.head_dirty, plan.oid_len)?;
        write_json(&layer.join(OUTER_FILE), &plan.outer)?;
    }
    publish(plan.store, plan.building, facts)?;
    if facts.base.is_none()
        && let Some(origin) = &plan.origin
    {
        store::remember_full_layer(plan.store, origin, &facts.key)?;
    }
    Ok(())
}

/// Writes `seed.json` and makes the finished layer visible under its key.
pub(crate) fn publish(
    store: &Path,
    building: &Building,
    facts: &SeedFacts,
) -> Result<(), SeedError> {
    let layer = building.layer();
    write_json(&layer.join(store::FACTS), facts)?;
    // A key that survives a power cut must not name files that did not.
    let handle = Rooted::open(&layer).map_err(|source| SeedError::io("open", &layer, source))?;
    rustix::fs::syncfs(handle.fd()).map_err(|errno| SeedError::io("sync", &layer, errno))?;
    let home = store.join(&facts.key);
    std::fs::rename(&layer, &home).map_err(|source| SeedError::io("rename to", &home, source))
}

/// Bounds the lists that replies carry.
pub(crate) fn trim(facts: &mut SeedFacts) {
    facts.skipped.sort_unstable();
    facts.skipped.dedup();
    facts.skipped_more = facts.skipped.len().saturating_sub(SKIPPED_MOST) as u64;
    facts.skipped.truncate(SKIPPED_MOST);
    facts.not_seeded.truncate(SKIPPED_MOST);
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), SeedError> {
    let bytes = serde_json::to_vec(value).map_err(|error| SeedError::io("write", path, error))?;
    std::fs::write(path, bytes).map_err(|source| SeedError::io("write", path, source))
}

/// Names of sockets, pipes and devices that stand beside seeded files; git does not list them.
pub(crate) fn strange_neighbours(root: &Rooted, entries: &[Entry]) -> Vec<Skipped> {
    let mut found = Vec::new();
    let mut last: Option<&[u8]> = None;
    for entry in entries.iter().filter(|entry| entry.from == From::Work) {
        let dir = parent(&entry.path);
        if last == Some(dir) || found.len() > SKIPPED_MOST {
            continue;
        }
        last = Some(dir);
        for name in root.names_in(dir).unwrap_or_default() {
            if let super::beneath::Kind::Other(kind) = name.kind {
                let path = super::beneath::shown(&super::beneath::child(dir, &name.name));
                found.push(Skipped { path, reason: kind.into() });
            }
        }
    }
    found
}
