//! The seed as the host reads it: its layers merged, as the workspace's overlay merges them.
//!
//! A seed is one full layer, or a delta over it; a delta hides what it deletes by whiteouts. Links
//! in a seed come from a hostile repo: nothing here follows one.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
};

use pyro_operations::{Code, Failure};
use pyro_store::Record;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, readlinkat, statat};

use super::Side;
use crate::{
    Engine,
    failure::OrFail,
    seed::{self, IgnoreMatcher, SeedLayer},
};

/// Entries of one directory of a seed, or paths below one.
const ENTRIES: usize = 1_000_000;

/// The seed of one workspace.
pub(crate) struct Baseline {
    /// Handles of the layers, top first.
    layers: Vec<OwnedFd>,
    pub(super) ignored: Option<IgnoreMatcher>,
    pub(super) layer: Option<SeedLayer>,
    /// Old contents are HEAD's, where HEAD differs from the seed.
    against_head: std::cell::Cell<bool>,
}

/// What one layer has at a path.
enum InLayer {
    /// Nothing; lower layers count.
    Nothing,
    /// It hides what lower layers have.
    Hidden,
    File(Side),
    Directory {
        opaque: bool,
    },
    Other,
}

impl Baseline {
    pub(crate) fn open(engine: &Engine, record: &Record) -> Result<Self, Failure> {
        let layers = record
            .run
            .tree_lowers
            .iter()
            .map(|path| {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
                    Failure::new(
                        Code::StoreDamaged,
                        format!("the seed {} cannot be opened: {errno}", path.display()),
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        let layer = match &record.seed_key {
            Some(key) => Some(seed::open_layer(&engine.layout().layers(), key).or_fail()?),
            None => None,
        };
        let ignored = match &layer {
            Some(layer) if layer.facts.git_rules => Some(seed::ignore_rules(layer).or_fail()?),
            _ => None,
        };
        Ok(Self { layers, ignored, layer, against_head: std::cell::Cell::new(false) })
    }

    /// From now on, old contents are HEAD's where HEAD differs from the seed.
    pub(super) fn read_old_from_head(&self) {
        self.against_head.set(true);
    }

    pub(super) fn is_against_head(&self) -> bool {
        self.against_head.get()
    }

    /// Whether the baseline's own rules leave a path out of diffs.
    pub(super) fn is_ignored(&self, path: &[u8], is_directory: bool) -> bool {
        self.ignored
            .as_ref()
            .is_some_and(|rules| rules.is_ignored(Path::new(OsStr::from_bytes(path)), is_directory))
    }

    /// What the seed has at a path; `None` also for a directory.
    pub(super) fn side(&self, path: &[u8]) -> Result<Option<Side>, Failure> {
        Ok(self.find(path)?.and_then(|(_, found)| match found {
            InLayer::File(side) => Some(side),
            _ => None,
        }))
    }

    /// The topmost thing at a path, and its layer.
    fn find(&self, path: &[u8]) -> Result<Option<(usize, InLayer)>, Failure> {
        for (index, layer) in self.layers.iter().enumerate() {
            match look(layer, path)? {
                InLayer::Nothing => {
                    if hidden_above(layer, path)? {
                        return Ok(None);
                    }
                }
                InLayer::Hidden => return Ok(None),
                found => return Ok(Some((index, found))),
            }
        }
        Ok(None)
    }

    /// The content of a file of the seed, at most `most` bytes.
    pub(super) fn read(&self, path: &[u8], most: u64) -> Result<Vec<u8>, Failure> {
        let Some((index, InLayer::File(Side::File { .. }))) = self.find(path)? else {
            return Err(damaged(path, "it is not there"));
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let handle = openat2(&self.layers[index], path, flags, Mode::empty(), RESOLVE)
            .map_err(|errno| damaged(path, &errno.to_string()))?;
        let mut bytes = Vec::new();
        File::from(handle)
            .take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| damaged(path, &error.to_string()))?;
        Ok(bytes)
    }

    /// All files and links of the seed below a directory, by path.
    pub(super) fn below(&self, directory: &[u8]) -> Result<BTreeMap<Vec<u8>, Side>, Failure> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![directory.to_vec()];
        while let Some(directory) = waiting.pop() {
            for name in self.names(&directory)? {
                let path = join(&directory, &name);
                match self.find(&path)? {
                    Some((_, InLayer::File(side))) => {
                        found.insert(path, side);
                    }
                    Some((_, InLayer::Directory { .. })) => waiting.push(path),
                    _ => {}
                }
                if found.len() + waiting.len() > ENTRIES {
                    return Err(Failure::new(
                        Code::TooLarge,
                        "the seed has too many files to compare",
                    ));
                }
            }
        }
        Ok(found)
    }

    /// Names that the merged directory has; some may be whiteouts, which `find` knows.
    pub(super) fn names(&self, directory: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let mut names = std::collections::BTreeSet::new();
        for layer in &self.layers {
            match look(layer, directory)? {
                InLayer::Directory { opaque } => {
                    list(layer, directory, &mut names)?;
                    if opaque {
                        break;
                    }
                }
                InLayer::Nothing if hidden_above(layer, directory)? => break,
                InLayer::Nothing => {}
                _ => break,
            }
        }
        Ok(names.into_iter().collect())
    }
}

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

fn damaged(path: &[u8], why: &str) -> Failure {
    let path = String::from_utf8_lossy(path);
    Failure::new(Code::StoreDamaged, format!("the seed's `{path}` cannot be read: {why}"))
}

/// `directory/name`, or the name alone at the top.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// The handle of a path's parent in a layer, and its last name. `None`: the parent is not there.
fn parent(layer: &OwnedFd, path: &[u8]) -> Result<Option<OwnedFd>, Failure> {
    let above = match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => &path[..slash],
        None => b".",
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(layer, above, flags, Mode::empty(), RESOLVE) {
        Ok(handle) => Ok(Some(handle)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
            Ok(None)
        }
        Err(errno) => Err(damaged(path, &errno.to_string())),
    }
}

fn last(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => &path[slash + 1..],
        None if path.is_empty() => b".",
        None => path,
    }
}

fn look(layer: &OwnedFd, path: &[u8]) -> Result<InLayer, Failure> {
    let Some(above) = parent(layer, path)? else { return Ok(InLayer::Nothing) };
    let name = last(path);
    let facts = match statat(&above, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(facts) => facts,
        Err(rustix::io::Errno::NOENT) => return Ok(InLayer::Nothing),
        Err(errno) => return Err(damaged(path, &errno.to_string())),
    };
    Ok(match FileType::from_raw_mode(facts.st_mode) {
        FileType::RegularFile => InLayer::File(Side::File {
            bytes: u64::try_from(facts.st_size).unwrap_or(0),
            executable: facts.st_mode & 0o111 != 0,
        }),
        FileType::Symlink => {
            let target = readlinkat(&above, name, Vec::new())
                .map_err(|errno| damaged(path, &errno.to_string()))?;
            InLayer::File(Side::Link { target: target.into_bytes() })
        }
        FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let handle = openat2(&above, name, flags, Mode::empty(), RESOLVE)
                .map_err(|errno| damaged(path, &errno.to_string()))?;
            let mut value = [0; 2];
            let read = rustix::fs::fgetxattr(&handle, "user.overlay.opaque", &mut value);
            InLayer::Directory { opaque: matches!(read, Ok(1)) && value[0] == b'y' }
        }
        FileType::CharacterDevice if facts.st_rdev == 0 => InLayer::Hidden,
        _ => InLayer::Other,
    })
}

/// Whether a layer hides a path by what it has in place of one of the directories above it.
fn hidden_above(layer: &OwnedFd, path: &[u8]) -> Result<bool, Failure> {
    for (slash, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
        match look(layer, &path[..slash])? {
            InLayer::Nothing => return Ok(false),
            InLayer::Directory { opaque: true }
            | InLayer::Hidden
            | InLayer::File(_)
            | InLayer::Other => {
                return Ok(true);
            }
            InLayer::Directory { opaque: false } => {}
        }
    }
    Ok(false)
}

fn list(
    layer: &OwnedFd,
    directory: &[u8],
    names: &mut std::collections::BTreeSet<Vec<u8>>,
) -> Result<(), Failure> {
    let at: &[u8] = if directory.is_empty() { b"." } else { directory };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = openat2(layer, at, flags, Mode::empty(), RESOLVE)
        .map_err(|errno| damaged(directory, &errno.to_string()))?;
    for entry in Dir::new(handle).map_err(|errno| damaged(directory, &errno.to_string()))? {
        let entry = entry.map_err(|errno| damaged(directory, &errno.to_string()))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.insert(name.to_vec());
        }
    }
    Ok(())
}
