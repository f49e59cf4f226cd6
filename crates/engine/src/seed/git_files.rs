//! The `.git` of a layer: written clean from what was read, never copied as a whole.
//!
//! Objects, refs, HEAD, index, shallow boundary and ignore rules come along; hooks, config,
//! reflogs, alternates, other worktrees, modules and everything unknown stay behind. A linked
//! worktree becomes an ordinary repository.

use super::SeedError;
use super::beneath::{Kind, Rooted, child};
use super::checkout::Checkout;
use super::listing::{Entry, From, identity};
use super::sanitized::is_fan_out;

const DIRECTORIES: &[&str] = &[
    ".git/objects",
    ".git/objects/info",
    ".git/objects/pack",
    ".git/refs",
    ".git/refs/heads",
    ".git/refs/tags",
    ".git/info",
];

/// The entries below `.git`.
pub(crate) fn entries(checkout: &Checkout) -> Result<Vec<Entry>, SeedError> {
    let mut entries: Vec<Entry> =
        DIRECTORIES.iter().map(|path| Entry::directory(path.as_bytes().to_vec())).collect();
    let mut bytes = |name: &[u8], bytes: &[u8], time| {
        entries.push(Entry::bytes(child(b".git", name), bytes.to_vec(), time));
    };
    bytes(b"HEAD", &checkout.refs.head, None);
    bytes(b"config", checkout.clean_config.as_bytes(), None);
    for (name, content) in &checkout.refs.files {
        bytes(name, content, None);
    }
    if !checkout.sanitized.index.is_empty() {
        bytes(b"index", &checkout.sanitized.index, Some(checkout.sanitized.index_time));
    }
    objects(checkout.dirs.common(), &mut entries)?;
    Ok(entries)
}

/// Loose objects first: what a repack moves from there to a pack meanwhile is then seen twice
/// rather than never.
fn objects(common: &Rooted, entries: &mut Vec<Entry>) -> Result<(), SeedError> {
    let fail = |error| SeedError::source(&common.join(b"objects"), error);
    for fan_out in common.names_in(b"objects").map_err(fail)? {
        if fan_out.kind != Kind::Directory || !is_fan_out(&fan_out.name) {
            continue;
        }
        let dir = child(b"objects", &fan_out.name);
        for object in common.names_in(&dir).map_err(fail)? {
            if object.kind == Kind::File && is_object_name(&object.name) {
                let path = child(&dir, &object.name);
                // A loose object's name says what is in it.
                let identity = identity(&[b"object", &path]);
                entries.push(entry(path, identity, 0));
            }
        }
    }
    for pack in common.names_in(b"objects/pack").map_err(fail)? {
        let path = child(b"objects/pack", &pack.name);
        if pack.kind == Kind::File
            && is_pack_name(&pack.name)
            && let Some(stat) = common.stat(&path).map_err(fail)?
        {
            let size = stat.st_size.cast_unsigned();
            let identity = identity(&[b"object", &path, &size.to_le_bytes()]);
            entries.push(entry(path, identity, size));
        }
    }
    Ok(())
}

fn entry(path: Vec<u8>, identity: super::listing::Identity, size: u64) -> Entry {
    Entry { path: child(b".git", &path), identity, flags: 0, from: From::Object(path), size }
}

fn is_object_name(name: &[u8]) -> bool {
    matches!(name.len(), 38 | 62)
        && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_pack_name(name: &[u8]) -> bool {
    let ends = [".pack", ".idx", ".rev", ".keep", ".promisor", ".mtimes"];
    name.starts_with(b"pack-")
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        && ends.iter().any(|end| name.ends_with(end.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_and_packs_are_taken() {
        assert!(is_object_name("a".repeat(38).as_bytes()));
        assert!(!is_object_name(b"tmp_obj_Xy"));
        assert!(is_pack_name(b"pack-0123.pack"));
        assert!(!is_pack_name(b"tmp_pack_1") && !is_pack_name(b"multi-pack-index"));
    }
}
