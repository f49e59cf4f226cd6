//! The skeleton on disk.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;

use super::super::{remove_skeleton, skeleton_keys, skeleton_of};
use super::*;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn holds_the_tree_the_made_files_and_a_mount_point_for_every_bind() {
    let host = FakeHost::bare();
    host.shown(&[".cargo/bin/cargo", ".rustup/toolchains/a/x", ".rustup/settings.toml"]);
    host.write("root/etc/ld.so.cache", "");
    symlink("/usr/share/zoneinfo/UTC", host.at("root/etc/localtime")).unwrap();
    let described = host.describe();
    let root = &described.skeleton;

    for (path, bits) in [
        ("tmp", 0o1777),
        ("var/tmp", 0o1777),
        ("root", 0o700),
        ("workspace", 0o755),
        ("run", 0o755),
        ("proc", 0o755),
        ("dev", 0o755),
        ("sys", 0o755),
        ("", 0o755),
    ] {
        assert_eq!(mode(&root.join(path)), bits, "{path}");
    }
    assert_eq!(fs::read_link(root.join("bin")).unwrap(), Path::new("usr/bin"));
    assert_eq!(fs::read_link(root.join("etc/mtab")).unwrap(), Path::new("/proc/self/mounts"));
    let localtime = fs::read_link(root.join("etc/localtime")).unwrap();
    assert_eq!(localtime, Path::new("/usr/share/zoneinfo/UTC"));
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let home = host.home("").display().to_string();
    assert!(text("etc/passwd").contains(&format!(":{}:/bin/bash", home.trim_end_matches('/'))));
    assert!(text("etc/passwd").contains("nobody:x:65534:"));
    assert!(text("etc/hosts").contains("::1\tlocalhost"));
    assert_eq!(text("etc/resolv.conf"), "");
    assert_eq!(text("etc/machine-id"), "");
    assert!(text("etc/nsswitch.conf").contains("hosts: files\n"));

    assert!(!described.binds.is_empty());
    for bind in &described.binds {
        let point = root.join(bind.target.strip_prefix("/").unwrap());
        let source = fs::symlink_metadata(&bind.source).unwrap();
        assert_eq!(point.is_dir(), source.is_dir(), "{bind:?}");
        assert_eq!(point.is_file(), source.is_file(), "{bind:?}");
    }
    // The home is writable and, but for mount points, empty.
    let names: Vec<_> = fs::read_dir(root.join(host.home("").strip_prefix("/").unwrap()))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn real_directories_of_an_unmerged_root_are_bound() {
    let host = FakeHost::bare();
    fs::remove_file(host.at("root/lib")).unwrap();
    host.write("root/lib/ld.so", "shown");
    symlink("/somewhere/else", host.at("root/sbin")).unwrap();
    let described = host.describe();
    let lib = described.binds.iter().find(|bind| bind.target == Path::new("/lib")).unwrap();
    assert_eq!(lib.source, host.at("root/lib"));
    assert!(fs::symlink_metadata(described.skeleton.join("sbin")).is_err());
}

#[test]
fn the_key_follows_the_content_and_nothing_else() {
    let host = FakeHost::bare();
    host.shown(&[".cargo/bin/cargo"]);
    let first = host.describe();
    host.shown(&[".cargo/bin/another", ".cargo/registry/index/a"]);
    fs::remove_dir_all(host.home(".cargo/registry")).unwrap();
    assert_eq!(host.describe(), first);
    assert_eq!(first.key.len(), 64);

    host.shown(&[".deno/bin/deno"]);
    let second = host.describe();
    assert_ne!(second.key, first.key);
    assert!(first.skeleton.is_dir(), "workspaces made on it go on using it");

    let mut keys = vec![first.key.clone(), second.key.clone()];
    keys.sort();
    assert_eq!(skeleton_keys(&host.pyro()).unwrap(), keys);
    remove_skeleton(&host.pyro(), &first.key).unwrap();
    remove_skeleton(&host.pyro(), &first.key).unwrap();
    assert_eq!(skeleton_keys(&host.pyro()).unwrap(), std::slice::from_ref(&second.key));
    assert_eq!(skeleton_of(&host.pyro(), &first.key).unwrap(), None);
    assert_eq!(skeleton_of(&host.pyro(), &second.key).unwrap(), Some(second.skeleton));
    for key in ["../../x", "", "lock", &"A".repeat(64)] {
        assert!(skeleton_of(&host.pyro(), key).is_err(), "{key}");
        assert!(remove_skeleton(&host.pyro(), key).is_err(), "{key}");
    }
}

#[test]
fn what_a_killed_maker_left_is_replaced() {
    let host = FakeHost::bare();
    host.write("pyro/environments/host/.making/root/etc/passwd", "half");
    let described = host.describe();
    assert!(described.skeleton.join("etc/passwd").is_file());
    assert!(!host.pyro().join(".making").exists());
    assert_eq!(mode(&host.pyro()) & 0o022, 0);
}

#[test]
fn threads_at_once_make_it_once() {
    let host = FakeHost::bare();
    host.shown(&[".cargo/bin/cargo"]);
    let barrier = Barrier::new(8);
    let described: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    host.describe()
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(described.iter().all(|one| *one == described[0]));
    assert_eq!(skeleton_keys(&host.pyro()).unwrap(), [described[0].key.clone()]);
    assert!(!host.pyro().join(".making").exists());
}

const CHILD_HOME: &str = "PYRO_TEST_HOST_SKELETON_HOME";

#[test]
fn processes_at_once_make_it_once() {
    let host = FakeHost::bare();
    let name = format!("{}::a_process_that_makes_it", module_path!().split_once("::").unwrap().1);
    let children: Vec<_> = (0..4)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &name, "--ignored"])
                .env(CHILD_HOME, host.at(""))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let child = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(child.status.success() && said.contains("1 passed"), "{said}");
    }
    assert_eq!(skeleton_keys(&host.pyro()).unwrap().len(), 1);
    assert_eq!(skeleton_keys(&host.pyro()).unwrap(), [host.describe().key]);
}

#[test]
#[ignore = "run by processes_at_once_make_it_once"]
fn a_process_that_makes_it() {
    let at = PathBuf::from(std::env::var_os(CHILD_HOME).unwrap());
    let mut options = FakeHost::bare().options;
    options.home = Some(at.join("home/u"));
    options.system_root = at.join("root");
    let described = describe(&options, &at.join("pyro/environments/host")).unwrap();
    assert!(described.skeleton.join("etc/passwd").is_file());
}
