//! The skeleton on disk: a small read-only root, made once for each content.
//!
//! ```text
//! <home>/environments/host/lock             held while one is made or removed
//! <home>/environments/host/<key>/root/      the lower layer
//! <home>/environments/host/<key>/masks/     empty places that hide something of the host's
//! <home>/environments/host/.making/         one being made; what a killed maker left is removed
//! ```
//!
//! Promises: a `<key>` folder is whole (built beside, synced, renamed), nothing in it changes
//! afterwards, and two makers at once make it once. A skeleton that exists costs one stat.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

use super::HostError;
use super::layout::{Mask, Node, Nodes};
use super::place::directory_at;

/// Raised when the way nodes are written to disk changes.
const FORMAT: &str = "pyro host skeleton 1";
const MAKING: &str = ".making";

/// A whole skeleton.
#[derive(Debug)]
pub(super) struct Skeleton {
    folder: PathBuf,
}

impl Skeleton {
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    pub(super) fn mask(&self, mask: Mask) -> PathBuf {
        self.folder.join("masks").join(mask_name(mask))
    }
}

fn mask_name(mask: Mask) -> &'static str {
    match mask {
        Mask::Directory => "directory",
        Mask::File => "file",
        Mask::MavenSettings => "settings.xml",
    }
}

/// The sha256 over everything the skeleton holds.
pub(super) fn key_of(nodes: &Nodes) -> String {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(FORMAT.as_bytes());
    for (path, node) in nodes {
        field(path.as_bytes());
        match node {
            Node::Directory { mode } => field(format!("directory {mode:o}").as_bytes()),
            Node::File { content } => {
                field(b"file");
                field(content.as_bytes());
            }
            Node::Link { target } => {
                field(b"link");
                field(target.as_os_str().as_bytes());
            }
        }
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The skeleton with this key, made now if it is not there.
pub(super) fn ensure(home: &Path, key: &str, nodes: &Nodes) -> Result<Skeleton, HostError> {
    let skeleton = Skeleton { folder: home.join(key) };
    if directory_at(&skeleton.folder) {
        return Ok(skeleton);
    }
    let _lock = lock(home)?;
    if directory_at(&skeleton.folder) {
        return Ok(skeleton);
    }
    let making = home.join(MAKING);
    remove_tree(&making)?;
    at(&making, make(&making, nodes))?;
    at(&skeleton.folder, fs::rename(&making, &skeleton.folder))?;
    at(home, File::open(home).and_then(|folder| folder.sync_all()))?;
    Ok(skeleton)
}

/// The root of the skeleton with this key, for a workspace that was made on it.
pub fn skeleton_of(home_of_pyro: &Path, key: &str) -> Result<Option<PathBuf>, HostError> {
    let root = home_of_pyro.join(checked(key)?).join("root");
    Ok(directory_at(&root).then_some(root))
}

/// The keys of every skeleton on disk, sorted.
pub fn skeleton_keys(home_of_pyro: &Path) -> Result<Vec<String>, HostError> {
    let listing = match fs::read_dir(home_of_pyro) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => at(home_of_pyro, other)?,
    };
    let mut keys = Vec::new();
    for entry in listing {
        let name = at(home_of_pyro, entry)?.file_name();
        keys.extend(name.to_str().filter(|name| checked(name).is_ok()).map(str::to_owned));
    }
    keys.sort_unstable();
    Ok(keys)
}

/// Removes a skeleton that no workspace uses; the caller has to know that none does.
pub fn remove_skeleton(home_of_pyro: &Path, key: &str) -> Result<(), HostError> {
    let folder = home_of_pyro.join(checked(key)?);
    if !directory_at(&folder) {
        return Ok(());
    }
    let _lock = lock(home_of_pyro)?;
    let making = home_of_pyro.join(MAKING);
    remove_tree(&making)?;
    match fs::rename(&folder, &making) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => at(&folder, renamed).and_then(|()| remove_tree(&making)),
    }
}

fn checked(key: &str) -> Result<&str, HostError> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if key.len() == 64 && key.bytes().all(hex) {
        Ok(key)
    } else {
        Err(HostError::Key { key: key.chars().take(80).collect() })
    }
}

fn lock(home: &Path) -> Result<File, HostError> {
    at(home, DirBuilder::new().recursive(true).mode(0o700).create(home))?;
    let path = home.join("lock");
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = at(&path, file)?;
    let locked = rustix::fs::flock(&file, FlockOperation::LockExclusive);
    at(&path, locked.map_err(io::Error::from))?;
    Ok(file)
}

fn make(folder: &Path, nodes: &Nodes) -> io::Result<()> {
    let root = folder.join("root");
    let masks = folder.join("masks");
    for made in [folder, &root, &masks, &masks.join(mask_name(Mask::Directory))] {
        make_directory(made, 0o755)?;
    }
    make_file(&masks.join(mask_name(Mask::File)), "")?;
    make_file(&masks.join(mask_name(Mask::MavenSettings)), "<settings/>\n")?;
    // The map's order puts every directory before what is in it.
    for (path, node) in nodes {
        let path = root.join(path.trim_start_matches('/'));
        match node {
            Node::Directory { mode } => make_directory(&path, *mode)?,
            Node::File { content } => make_file(&path, content)?,
            Node::Link { target } => symlink(target, &path)?,
        }
    }
    File::open(folder)?.sync_all()
}

/// The mode is set again after making, since the umask has taken bits of it.
fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn make_file(path: &Path, content: &str) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.write_all(content.as_bytes())?;
    // An empty file is whole without; the others must not come back empty after a power loss.
    if content.is_empty() { Ok(()) } else { file.sync_all() }
}

fn remove_tree(path: &Path) -> Result<(), HostError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => at(path, other),
    }
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, HostError> {
    result.map_err(|source| HostError::Skeleton { path: path.to_path_buf(), source })
}
