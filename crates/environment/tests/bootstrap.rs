//! Real bootstraps from a Debian mirror: skipped, and said so, unless PYRO_TEST_BOOTSTRAP=1.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use pyro_environment::unpack::UnpackError;
use pyro_environment::{
    Cache, Done, EnvironmentState, InProcess, Outcome, Progress, PullOptions, StoredOwnership,
    Unpacker, Work,
};

fn wanted() -> bool {
    let wanted = std::env::var_os("PYRO_TEST_BOOTSTRAP").is_some_and(|value| value == "1");
    if !wanted {
        eprintln!("skipped: needs mmdebstrap and a Debian mirror; set PYRO_TEST_BOOTSTRAP=1");
    }
    wanted
}

fn walk(root: &Path, visit: &mut dyn FnMut(&Path, &std::fs::Metadata)) {
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let found = std::fs::symlink_metadata(&path).unwrap();
        visit(&path, &found);
        if found.is_dir() {
            walk(&path, visit);
        }
    }
}

#[test]
fn curated_environments_install_and_repair() {
    if !wanted() {
        return;
    }
    let unpacker = InProcess::new();
    if unpacker.ownership() != StoredOwnership::Unshifted {
        eprintln!("skipped: run this one as root");
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let cache = Cache::open(
        room.path().join("environments"),
        room.path().join("trash"),
        Arc::new(unpacker),
    )
    .unwrap();
    let mut packages = Vec::new();
    for name in ["debian:12-base", "debian:12", "debian:12-build"] {
        let name = name.parse().unwrap();
        let mut reports: Vec<Progress> = Vec::new();
        let start = Instant::now();
        let options = PullOptions::default();
        let pulled = cache.pull(&name, &options, &mut |report| reports.push(report)).unwrap();
        let took = start.elapsed();
        assert_eq!(pulled.outcome, Outcome::Installed);
        let manifest = &pulled.installed.manifest;
        let (mib, count) = (manifest.bytes >> 20, manifest.packages.unwrap());
        println!("{name}: {took:.1?}, {mib} MiB, {} files, {count} packages", manifest.files);
        packages.push(count);
        println!("{name}: {}", manifest.digest);
        let shown = reports.iter().filter(|report| report.percent.is_some());
        println!("{name}: {} reports, such as {:?}", reports.len(), shown.clone().nth(99));
        assert!(shown.map(|report| report.percent).is_sorted(), "{reports:?}");
        assert_eq!(reports.iter().filter_map(|report| report.percent).max(), Some(100));
        let rootfs = &pulled.installed.rootfs;
        assert_eq!(std::fs::read(rootfs.join("etc/machine-id")).unwrap(), b"");
        let hosts = std::fs::read_to_string(rootfs.join("etc/hosts")).unwrap();
        assert!(hosts.contains("127.0.0.1 localhost"), "{hosts}");
        assert_eq!(std::fs::read(rootfs.join("etc/hostname")).unwrap(), b"localhost\n");
        let resolver = std::fs::symlink_metadata(rootfs.join("etc/resolv.conf")).unwrap();
        assert!(resolver.is_file() && resolver.len() == 0);
        let lists = std::fs::read_dir(rootfs.join("var/lib/apt/lists")).unwrap();
        assert!(lists.flatten().all(|entry| entry.file_name() == "partial"));
        let mut owners = std::collections::BTreeSet::new();
        walk(rootfs, &mut |path, found| {
            let kind = found.file_type();
            assert!(
                !kind.is_block_device() && !kind.is_char_device() && !kind.is_fifo(),
                "{path:?}"
            );
            owners.insert(found.gid());
        });
        assert!(owners.contains(&0) && owners.contains(&42), "gid of shadow is kept: {owners:?}");
        assert!(std::fs::metadata(rootfs.join("usr/bin/su")).unwrap().mode() & 0o4000 != 0);
        for program in ["git", "python3", "curl"] {
            let there = rootfs.join("usr/bin").join(program).exists();
            assert_eq!(there, name.as_str() != "debian:12-base", "{program} in {name}");
        }
        assert_eq!(rootfs.join("usr/bin/gcc").exists(), name.as_str() == "debian:12-build");
        let start = Instant::now();
        drop(cache.resolve(&name).unwrap());
        println!("{name}: resolve {:.3?}", start.elapsed());
        let start = Instant::now();
        let again = cache.pull(&name, &options, &mut |_| {}).unwrap();
        println!("{name}: deep check {:.2?}", start.elapsed());
        assert_eq!(again.outcome, Outcome::AlreadyInstalled);
    }
    assert!(packages[0] < packages[1] && packages[1] < packages[2], "{packages:?}");

    let name = "debian:12-base".parse().unwrap();
    let rootfs = cache.resolve(&name).unwrap().rootfs;
    std::fs::write(rootfs.join("usr/bin/ls"), "not ls").unwrap();
    let pulled = cache.pull(&name, &PullOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(pulled.outcome, Outcome::Repaired);
    let ls = std::fs::read(pulled.installed.rootfs.join("usr/bin/ls")).unwrap();
    assert!(ls.starts_with(b"\x7fELF"));
    let state = cache.inspect(&name, true).unwrap().state;
    assert!(matches!(state, EnvironmentState::Installed { .. }), "{state:?}");
}

#[test]
fn an_unreachable_mirror_is_the_networks_fault_and_changes_nothing() {
    if !wanted() {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let root = room.path().join("environments");
    let cache = Cache::open(&root, room.path().join("trash"), Arc::new(InProcess::new())).unwrap();
    let name = "debian:12-base".parse().unwrap();
    if cache.unpacker().ownership() != StoredOwnership::Unshifted {
        eprintln!("skipped: run this one as root");
        return;
    }
    // Nothing listens on the discard port of this machine.
    let options = PullOptions {
        debian_mirror: Some("http://127.0.0.1:9/debian".into()),
        ..Default::default()
    };
    let error = cache.pull(&name, &options, &mut |_| {}).unwrap_err();
    println!("{error}; hint: {:?}", error.hint());
    assert_eq!(error.kind(), pyro_environment::ErrorKind::NetworkFailed, "{error}");
    assert!(matches!(cache.inspect(&name, false).unwrap().state, EnvironmentState::NotInstalled));
    let left: Vec<_> = std::fs::read_dir(&root).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("building")), "{left:?}");
}

const WORK: &str = "PYRO_TEST_WORK";
const TARGET: &str = "PYRO_TEST_TARGET";

/// Works in a process inside a user namespace, as the engine's will: `unshare` makes one that
/// maps 0 to this user and the rest to the sub-ids.
struct ThroughNamespace(StoredOwnership);

impl Unpacker for ThroughNamespace {
    fn ownership(&self) -> StoredOwnership {
        self.0
    }

    fn perform(
        &self,
        work: &Work,
        target: &Path,
        archive: Option<File>,
    ) -> Result<Done, UnpackError> {
        let failed = |message: String| UnpackError::Process { message };
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--map-auto", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "inside_the_namespace", "--ignored", "--nocapture"])
            .env(WORK, serde_json::to_string(work).unwrap())
            .env(TARGET, target)
            .stdin(archive.map_or_else(Stdio::null, Stdio::from))
            .output()
            .map_err(|e| failed(e.to_string()))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let answer = said.lines().find_map(|line| line.strip_prefix("ANSWER "));
        let answer = answer.ok_or_else(|| failed(said.clone()))?;
        serde_json::from_str(answer).map_err(|e| failed(e.to_string()))?
    }
}

#[test]
#[ignore = "the inner half of another test"]
fn inside_the_namespace() {
    let Ok(work) = std::env::var(WORK) else { return };
    let work: Work = serde_json::from_str(&work).unwrap();
    let target = std::env::var_os(TARGET).unwrap();
    let archive = File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let result = pyro_environment::perform(&work, Path::new(&target), Some(archive));
    eprintln!("ANSWER {}", serde_json::to_string(&result).unwrap());
}

/// First subordinate id of this user, by its number of name in `/etc/subuid` and `/etc/subgid`.
fn first_sub_id(file: &str) -> Option<u32> {
    let user = Command::new("id").arg("-un").output().ok()?;
    let user = String::from_utf8(user.stdout).ok()?;
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(user.trim()))?;
    line.split(':').nth(1)?.parse().ok()
}

#[test]
fn an_ordinary_user_installs_through_a_user_namespace() {
    if !wanted() {
        return;
    }
    let bases = (first_sub_id("/etc/subuid"), first_sub_id("/etc/subgid"));
    let (Some(subuid_base), Some(subgid_base)) = bases else {
        eprintln!("skipped: this user has no sub-ids");
        return;
    };
    let me = rustix::process::geteuid().as_raw();
    if me == 0 {
        eprintln!("skipped: run this one as an ordinary user");
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let unpacker = ThroughNamespace(StoredOwnership::Mapped { subuid_base, subgid_base });
    let cache = Cache::open(
        room.path().join("environments"),
        room.path().join("trash"),
        Arc::new(unpacker),
    )
    .unwrap();
    let name = "debian:12-base".parse().unwrap();
    let start = Instant::now();
    let pulled = cache.pull(&name, &PullOptions::default(), &mut |_| {}).unwrap();
    let manifest = &pulled.installed.manifest;
    println!("{name}: {:.1?}, {} MiB, {}", start.elapsed(), manifest.bytes >> 20, manifest.digest);
    let rootfs = &pulled.installed.rootfs;
    let owner = |path: &str| {
        let found = std::fs::symlink_metadata(rootfs.join(path)).unwrap();
        (found.uid(), found.gid())
    };
    let group = rustix::process::getegid().as_raw();
    assert_eq!(owner("etc"), (me, group));
    // shadow is group 42, apt's sandbox is user 42.
    assert_eq!(owner("etc/shadow"), (me, subgid_base + 41));
    assert_eq!(owner("var/cache/apt/archives/partial"), (subuid_base + 41, group));
    let start = Instant::now();
    cache.verify(&name, true).unwrap();
    println!("{name}: deep check {:.2?}", start.elapsed());
    drop(pulled);
    assert_eq!(cache.prune(&|_| false).unwrap().removed.len(), 1);
    // What lies in the trash takes the namespace to delete.
    cache.unpacker().remove(&room.path().join("trash")).unwrap();
    assert!(!room.path().join("trash").exists());
}
