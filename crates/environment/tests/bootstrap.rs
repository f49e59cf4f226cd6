//! Real bootstraps from a Debian mirror: skipped, and said so, unless PYRO_TEST_BOOTSTRAP=1.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pyro_environment::{
    Cache, EnvironmentState, InProcess, Outcome, Progress, PullOptions, StoredOwnership, Unpacker,
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
    assert_eq!(unpacker.ownership(), StoredOwnership::Unshifted, "run this one as root");
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
        assert!(reports.len() > 5, "{reports:?}");
        let rootfs = &pulled.installed.rootfs;
        assert_eq!(std::fs::read(rootfs.join("etc/machine-id")).unwrap(), b"");
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
