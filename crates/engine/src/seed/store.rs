//! The directory of finished layers: finding, opening, sweeping and collecting.
//!
//! Names in the store: `<key>/` (a layer), `.lock-<key>`, `.origin-<digest>` (the last full layer
//! of an origin, a hint only), `.building-<random>/` and its `.lock`. A layer is removed by one
//! rename into the trash while its lock is held, never while it or a delta over it is in use.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::SeedError;
use super::facts::{FORMAT, SeedFacts, SeedLayer};
use super::locks::{self, BUILDING, Lease, random_name};

pub(crate) const FACTS: &str = "seed.json";
const ORIGIN: &str = ".origin-";
const FACTS_MOST: u64 = 16 << 20;

/// Opens a layer that a record names, and keeps it from being collected while the value lives.
pub fn open_layer(store: &Path, key: &str) -> Result<SeedLayer, SeedError> {
    let damaged = |key: &str, why: &str| SeedError::StoreDamaged {
        path: store.join(key),
        why: why.to_owned(),
    };
    if !is_key(key) {
        return Err(damaged("", "the record names no layer key"));
    }
    let lease = Lease::wait(store, key, false)?;
    match open_with(store, key, lease)? {
        Some(layer) => Ok(layer),
        None => Err(damaged(key, "the layer is gone")),
    }
}

/// Opens a layer whose lock is held; `None` when there is none of this format.
pub(crate) fn open_with(
    store: &Path,
    key: &str,
    lease: Lease,
) -> Result<Option<SeedLayer>, SeedError> {
    let Some(facts) = read_facts(store, key)? else { return Ok(None) };
    let home = store.join(key);
    let mut layers = vec![home.join("tree")];
    let mut leases = vec![lease];
    if let Some(base) = &facts.base {
        if !is_key(base) {
            let why = "it names no base".into();
            return Err(SeedError::StoreDamaged { path: home.join(FACTS), why });
        }
        leases.push(Lease::wait(store, base, false)?);
        layers.push(store.join(base).join("tree"));
    }
    if let Some(missing) = layers.iter().find(|layer| !layer.is_dir()) {
        let why = "the directory is gone".into();
        return Err(SeedError::StoreDamaged { path: missing.clone(), why });
    }
    Ok(Some(SeedLayer { facts, layers, home, _lease: leases }))
}

/// The facts of a layer; `None` when there is none of this format.
pub(crate) fn read_facts(store: &Path, key: &str) -> Result<Option<SeedFacts>, SeedError> {
    let path = store.join(key).join(FACTS);
    let len = match path.symlink_metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SeedError::io("inspect", &path, source)),
    };
    let damaged = |why: String| SeedError::StoreDamaged { path: path.clone(), why };
    if len > FACTS_MOST {
        return Err(damaged("it is too large".into()));
    }
    let bytes = std::fs::read(&path).map_err(|source| SeedError::io("read", &path, source))?;
    let facts: SeedFacts =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    Ok((facts.format == FORMAT).then_some(facts))
}

/// The last full layer of an origin.
pub(crate) fn full_layer_of(store: &Path, origin: &str) -> Option<String> {
    let key = std::fs::read_to_string(store.join(format!("{ORIGIN}{origin}"))).ok()?;
    is_key(&key).then_some(key)
}

/// Notes the last full layer of an origin.
pub(crate) fn remember_full_layer(store: &Path, origin: &str, key: &str) -> Result<(), SeedError> {
    let path = store.join(format!("{ORIGIN}{origin}"));
    let fresh = store.join(format!("{BUILDING}{}", random_name()?));
    std::fs::write(&fresh, key)
        .and_then(|()| std::fs::rename(&fresh, &path))
        .map_err(|source| SeedError::io("write", &path, source))
}

/// 64 hexadecimal digits: nothing else is ever joined to the store's path.
pub(crate) fn is_key(key: &str) -> bool {
    key.len() == 64 && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn names(store: &Path) -> Result<Vec<String>, SeedError> {
    let fail = |source| SeedError::io("list", store, source);
    let mut names = Vec::new();
    let listing = match std::fs::read_dir(store) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
        Err(source) => return Err(fail(source)),
    };
    for entry in listing {
        names.extend(entry.map_err(fail)?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// Moves what killed builds left into the trash, and returns where it lies now.
pub fn sweep(store: &Path, trash: &Path) -> Result<Vec<PathBuf>, SeedError> {
    let mut moved = Vec::new();
    for name in names(store)?.iter().filter(|name| name.starts_with(BUILDING)) {
        let path = store.join(name.strip_suffix(".lock").unwrap_or(name));
        let Some(lock) = locks::abandoned(&path)? else { continue };
        if path.symlink_metadata().is_ok() {
            moved.push(into_trash(&path, trash)?);
        }
        lock.remove();
    }
    Ok(moved)
}

/// Moves every layer that nobody uses into the trash. `in_use` are the keys that records name;
/// the bases of those stay as well, and so does whatever is leased right now.
pub fn collect_unused(
    store: &Path,
    in_use: &HashSet<String>,
    trash: &Path,
) -> Result<Vec<PathBuf>, SeedError> {
    let names = names(store)?;
    let mut needed = in_use.clone();
    let (mut deltas, mut bases) = (Vec::new(), Vec::new());
    for key in names.iter().filter(|name| is_key(name)) {
        // Unreadable facts: a layer of another format or a damaged one is no base of ours.
        match read_facts(store, key).ok().flatten().and_then(|facts| facts.base) {
            Some(base) => deltas.push((key, base)),
            None => bases.push(key),
        }
    }
    let mut moved = Vec::new();
    for (key, base) in deltas {
        if needed.contains(key) || !remove(store, key, trash, &mut moved)? {
            needed.insert(base);
        }
    }
    for key in bases {
        if !needed.contains(key) {
            remove(store, key, trash, &mut moved)?;
        }
    }
    for name in names.iter().filter_map(|name| name.strip_prefix(ORIGIN)) {
        let gone = full_layer_of(store, name).is_none_or(|key| !store.join(key).exists());
        if gone {
            let _ = std::fs::remove_file(store.join(format!("{ORIGIN}{name}")));
        }
    }
    Ok(moved)
}

/// Removes one layer unless somebody holds it; says whether it is gone.
fn remove(
    store: &Path,
    key: &str,
    trash: &Path,
    moved: &mut Vec<PathBuf>,
) -> Result<bool, SeedError> {
    let Some(lock) = Lease::take(store, key, true, false)? else { return Ok(false) };
    moved.push(into_trash(&store.join(key), trash)?);
    lock.remove();
    Ok(true)
}

fn into_trash(path: &Path, trash: &Path) -> Result<PathBuf, SeedError> {
    let target = trash.join(format!("seed-{}", random_name()?));
    locks::private_dir(trash, true)
        .and_then(|()| std::fs::rename(path, &target))
        .map_err(|source| SeedError::io("move to the trash", path, source))?;
    Ok(target)
}
