//! What tests share: the environment's image, blank disks and templates (as links, since nobody
//! writes them), and what was found out about the host. In /var/tmp, one for each user and root; templates older than
//! an hour go.

use std::{
    fs::{self, File},
    os::unix::fs::{DirBuilderExt, MetadataExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};

use super::Given;

const KEPT: Duration = Duration::from_secs(3600);
const KNOWN: [&str; 2] = ["kvm.json", "qemu.json"];

/// The pool of this user.
pub(crate) struct Pool(PathBuf);

impl Pool {
    pub(crate) fn open(given: &Given) -> Self {
        let found = fs::metadata(&given.rootfs).unwrap();
        let user = rustix::process::geteuid().as_raw();
        let pool = format!("/var/tmp/pyro-test-microvm-{user}-{:x}-{:x}", found.dev(), found.ino());
        let pool = Self(PathBuf::from(pool));
        let _ = fs::DirBuilder::new().mode(0o700).create(&pool.0);
        assert_eq!(fs::symlink_metadata(&pool.0).unwrap().uid(), user, "somebody else's pool");
        let _ = fs::create_dir(pool.templates());
        let _ = fs::create_dir(pool.blank());
        let _ = symlink(&given.rootfs, pool.root());
        pool
    }

    /// The environment's layer.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.join("rootfs")
    }

    fn templates(&self) -> PathBuf {
        self.0.join("templates")
    }

    /// What templates' disks stand on.
    fn blank(&self) -> PathBuf {
        self.0.join("blank")
    }

    /// Only one test at a time looks at the pool.
    pub(crate) fn lock(&self) -> File {
        let file = File::create(self.0.join("lock")).unwrap();
        flock(&file, FlockOperation::LockExclusive).unwrap();
        file
    }

    /// Puts everything into a home that is being made.
    pub(crate) fn lend(&self, home: &Path) {
        fs::DirBuilder::new().mode(0o700).create(home).unwrap();
        fs::DirBuilder::new().mode(0o700).create(home.join("templates")).unwrap();
        for name in KNOWN {
            let _ = fs::copy(self.0.join(name), home.join(name));
        }
        fs::DirBuilder::new().mode(0o700).create(home.join("blank")).unwrap();
        link_blanks(&self.blank(), &home.join("blank"));
        for entry in fs::read_dir(self.templates()).unwrap().flatten() {
            let age =
                SystemTime::now().duration_since(entry.metadata().unwrap().modified().unwrap());
            if age.is_ok_and(|age| age > KEPT) {
                fs::remove_dir_all(entry.path()).unwrap();
            } else {
                link(&entry.path(), &home.join("templates").join(entry.file_name()));
            }
        }
    }

    /// Takes what a test added.
    pub(crate) fn take_back(&self, home: &Path) {
        for name in KNOWN {
            let _ = fs::copy(home.join(name), self.0.join(name));
        }
        link_blanks(&home.join("blank"), &self.blank());
        for entry in fs::read_dir(home.join("templates")).into_iter().flatten().flatten() {
            let there = self.templates().join(entry.file_name());
            if entry.path().join("used").is_file() && !there.exists() {
                link(&entry.path(), &there);
            }
        }
    }
}

/// Blank disks that are whole; of two of a size the first stays.
fn link_blanks(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "ext4") {
            let _ = fs::hard_link(entry.path(), to.join(entry.file_name()));
        }
    }
}

/// A template without copying its memory.
fn link(from: &Path, to: &Path) {
    let part = to.with_extension("part");
    let _ = fs::remove_dir_all(&part);
    fs::DirBuilder::new().mode(0o700).create(&part).unwrap();
    for name in ["ram", "state", "facts.json"] {
        fs::hard_link(from.join(name), part.join(name)).unwrap();
    }
    // Those of an older build have none, and serve nobody here.
    let _ = fs::hard_link(from.join("disk"), part.join("disk"));
    fs::write(part.join("used"), "").unwrap();
    fs::rename(&part, to).unwrap();
}

/// What guests boot, for another user to read.
pub(crate) fn copy_for(user: &str, given: &Given) -> Given {
    let found = fs::metadata(&given.rootfs).unwrap();
    let folder =
        format!("/var/tmp/pyro-test-microvm-of-{user}-{:x}-{:x}", found.dev(), found.ino());
    let folder = PathBuf::from(folder);
    let theirs = Given {
        kernel: folder.join("vmlinuz"),
        modules: folder.join("modules"),
        rootfs: folder.join("rootfs"),
    };
    let guard = File::create(folder.with_extension("lock")).unwrap();
    flock(&guard, FlockOperation::LockExclusive).unwrap();
    if !folder.exists() {
        let part = folder.with_extension("part");
        let _ = fs::remove_dir_all(&part);
        fs::create_dir(&part).unwrap();
        let at = |name: &str| part.join(name).into_os_string();
        for (from, to) in
            [(&given.kernel, "vmlinuz"), (&given.modules, "modules"), (&given.rootfs, "rootfs")]
        {
            let copied = Command::new("cp").arg("-a").arg(from).arg(at(to)).status().unwrap();
            assert!(copied.success());
        }
        let owner = format!("{user}:{user}");
        let changed = Command::new("chown").args(["-hR", &owner]).arg(&part).status().unwrap();
        assert!(changed.success());
        fs::rename(&part, &folder).unwrap();
    }
    theirs
}
