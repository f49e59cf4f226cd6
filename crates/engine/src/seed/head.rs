//! What differed from HEAD when the project was seeded, and HEAD's content for it.
//!
//! `<key>/head-dirty` holds, per path, HEAD's mode (octal, 0 where HEAD has nothing), its object
//! id or `-`, and the path, ended by NUL. Blobs are read by the host's git over `<key>/head-git`,
//! a git directory of our own that only knows where the layer's objects lie.

use std::path::Path;
use std::time::Duration;

use super::SeedError;
use super::beneath::shown;
use super::facts::SeedLayer;
use super::host_git::HostGit;

const FILE: &str = "head-dirty";
const GIT: &str = "head-git";

/// A path that differed from HEAD, from the tree's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadDirty {
    /// Bytes as git has them.
    pub path: Vec<u8>,
    /// Mode and object id that HEAD has there; `None` where it has nothing.
    pub head: Option<(u32, String)>,
}

/// Writes what the functions below read.
pub(crate) fn write(layer: &Path, dirty: &[HeadDirty], oid_len: usize) -> Result<(), SeedError> {
    let put = |name: &str, bytes: &[u8]| {
        let path = layer.join(name);
        std::fs::write(&path, bytes).map_err(|source| SeedError::io("write", &path, source))
    };
    let mut bytes = Vec::new();
    for one in dirty {
        let (mode, oid) = one.head.as_ref().map_or((0, "-"), |(mode, oid)| (*mode, oid.as_str()));
        bytes.extend_from_slice(format!("{mode:o} {oid} ").as_bytes());
        bytes.extend_from_slice(&one.path);
        bytes.push(0);
    }
    put(FILE, &bytes)?;
    for dir in ["", "/objects", "/refs"] {
        let path = layer.join(format!("{GIT}{dir}"));
        std::fs::create_dir(&path).map_err(|source| SeedError::io("create", &path, source))?;
    }
    put(&format!("{GIT}/HEAD"), b"ref: refs/heads/none\n")?;
    let config = if oid_len == 32 {
        "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n"
    } else {
        "[core]\n\trepositoryformatversion = 0\n"
    };
    put(&format!("{GIT}/config"), config.as_bytes())
}

/// The paths that differed from HEAD when the project was seeded, sorted; empty without Git.
pub fn head_dirty(layer: &SeedLayer) -> Result<Vec<HeadDirty>, SeedError> {
    if !layer.facts.git_rules {
        return Ok(Vec::new());
    }
    let path = layer.home.join(FILE);
    let bytes = std::fs::read(&path).map_err(|source| SeedError::io("read", &path, source))?;
    let mut dirty = Vec::new();
    for record in bytes.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        let mut parts = record.splitn(3, |byte| *byte == b' ');
        let (Some(mode), Some(oid), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SeedError::StoreDamaged { path, why: "a record is cut short".into() });
        };
        let mode = u32::from_str_radix(&shown(mode), 8).unwrap_or(0);
        let head = (mode != 0).then(|| (mode, shown(oid)));
        dirty.push(HeadDirty { path: name.to_vec(), head });
    }
    dirty.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(dirty)
}

/// The content of a blob of the seed's history, at most `most` bytes of it.
pub fn read_head_blob(layer: &SeedLayer, oid: &str, most: u64) -> Result<Vec<u8>, SeedError> {
    let what = format!("object {oid} of the seed");
    if !matches!(oid.len(), 40 | 64) || !oid.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let why = "that is no object id".into();
        return Err(SeedError::InvalidArgument { what, why });
    }
    let git_dir = layer.home.join(GIT);
    let git = HostGit::find(&git_dir, Duration::from_secs(60))?;
    let objects: Vec<_> = layer
        .layers
        .iter()
        .map(|tree| tree.join(".git/objects"))
        .filter(|path| path.is_dir())
        .collect();
    let others = std::env::join_paths(&objects).unwrap_or_default();
    let command = |args: &[&str]| {
        let mut command = git.in_git_dir(&git_dir, None);
        command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &others).args(args).arg(oid);
        command
    };
    let size = git.run_ok(&what, command(&["cat-file", "-s"]))?;
    let size: u64 = shown(&size.stdout).trim().parse().unwrap_or(u64::MAX);
    if size > most {
        return Err(SeedError::TooLarge { what, limit: format!("{most} bytes") });
    }
    Ok(git.run_ok(&what, command(&["cat-file", "blob"]))?.stdout)
}
