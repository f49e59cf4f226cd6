//! Locks, damage, crashes and pruning, with a source that is a closure.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::error::ErrorKind;
use crate::progress::Stage;
use crate::unpacker::InProcess;

fn cache(room: &Path) -> Cache {
    let unpacker = Arc::new(InProcess::single());
    Cache::open(room.join("environments"), room.join("trash"), unpacker).unwrap()
}

fn name(text: &str) -> EnvironmentName {
    text.parse().unwrap()
}

const WISH: Wish = Wish { rebuild: Rebuild::Never, wait: true };

fn fill(building: &Building<'_>, content: &str) -> Result<Built> {
    std::fs::create_dir(building.rootfs().join("etc")).unwrap();
    std::fs::write(building.rootfs().join("etc/release"), content).unwrap();
    let source = InstalledFrom::RootfsTarball { path: "closure".into() };
    Ok(Built { source, image: ImageConfig::default(), package_caches: false })
}

fn install(cache: &Cache, as_name: &str, content: &str) -> Result<Pulled> {
    cache.install(&name(as_name), WISH, &mut |_| {}, &mut |building, _| fill(building, content))
}

fn entries(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn two_at_once_do_the_work_once_and_the_second_waits() {
    let room = tempfile::tempdir().unwrap();
    let cache = cache(room.path());
    let builds = AtomicUsize::new(0);
    let (begun, has_begun) = mpsc::channel();
    let (waits, is_waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let is_waiting = is_waiting;
            cache.install(&name("a"), WISH, &mut |_| {}, &mut |building, _| {
                builds.fetch_add(1, Ordering::SeqCst);
                begun.send(()).unwrap();
                is_waiting.recv().unwrap();
                fill(building, "x")
            })
        });
        has_begun.recv().unwrap();
        let busy = Wish { wait: false, ..WISH };
        let refused = cache.install(&name("a"), busy, &mut |_| {}, &mut |_, _| unreachable!());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Busy);
        // A sweep in the meantime leaves the build in progress alone.
        assert_eq!(cache.prune(&|_| false).unwrap().leftovers, 0);
        let mut report = |report: crate::progress::Progress| {
            if report.stage == Stage::Waiting {
                waits.send(()).unwrap();
            }
        };
        let forced = Wish { rebuild: Rebuild::UnlessJustBuilt, ..WISH };
        let second = cache.install(&name("a"), forced, &mut report, &mut |_, _| unreachable!());
        assert_eq!(first.join().unwrap().unwrap().outcome, Outcome::Installed);
        assert_eq!(second.unwrap().outcome, Outcome::AlreadyInstalled);
    });
    assert_eq!(builds.load(Ordering::SeqCst), 1);
}

#[test]
fn damage_is_found_and_repaired() {
    let room = tempfile::tempdir().unwrap();
    let cache = cache(room.path());
    let rootfs = install(&cache, "a", "good").unwrap().installed.rootfs;
    let file = rootfs.join("etc/release");
    let place = rootfs.parent().unwrap().to_owned();
    type Damage<'a> = (&'a str, bool, &'a dyn Fn());
    let damages: [Damage<'_>; 6] = [
        ("content", true, &|| std::fs::write(&file, "evil").unwrap()),
        ("an extra file below", true, &|| std::fs::write(rootfs.join("etc/x"), "").unwrap()),
        ("mode", true, &|| {
            std::fs::set_permissions(&file, Permissions::from_mode(0o4755)).unwrap();
        }),
        ("a name at the top", false, &|| std::fs::write(rootfs.join("x"), "").unwrap()),
        ("the whole root", false, &|| std::fs::remove_dir_all(&rootfs).unwrap()),
        ("the manifest", false, &|| std::fs::write(place.join("manifest.json"), "{").unwrap()),
    ];
    for (what, only_deep, damage) in damages {
        damage();
        let shallow = cache.resolve(&name("a")).map(drop);
        assert_eq!(shallow.is_ok(), only_deep, "{what}: {shallow:?}");
        let deep = cache.verify(&name("a"), true).unwrap_err();
        assert_eq!(deep.kind(), ErrorKind::Damaged, "{what}");
        assert_eq!(deep.hint().unwrap(), "run `pyro env pull a`");
        assert_eq!(cache.resolve(&name("a")).unwrap_err().kind(), ErrorKind::Damaged, "{what}");
        let repaired = install(&cache, "a", "good").unwrap();
        assert_eq!(repaired.outcome, Outcome::Repaired, "{what}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "good", "{what}");
        cache.verify(&name("a"), true).unwrap();
    }
    assert_eq!(entries(&room.path().join("trash")).len(), 6);
}

#[test]
fn a_broken_name_is_damage_that_the_next_pull_mends() {
    let room = tempfile::tempdir().unwrap();
    let cache = cache(room.path());
    install(&cache, "a", "good").unwrap();
    std::fs::write(room.path().join("environments/names/a"), "{").unwrap();
    let error = cache.resolve(&name("a")).unwrap_err();
    assert_eq!(error.hint().unwrap(), "run `pyro env pull a`");
    install(&cache, "a", "good").unwrap();
    assert!(cache.resolve(&name("a")).is_ok());
    assert_eq!(cache.resolve(&name("host")).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_whole_tree_is_left_alone_by_another_name_of_the_same_content() {
    let room = tempfile::tempdir().unwrap();
    let cache = cache(room.path());
    let first = install(&cache, "a", "same").unwrap().installed;
    let inode = std::fs::metadata(&first.rootfs).unwrap().ino();
    let second = install(&cache, "b", "same").unwrap().installed;
    assert_eq!(std::fs::metadata(&second.rootfs).unwrap().ino(), inode);
    assert_eq!(second.manifest.name, name("b"));
}

#[test]
fn prune_keeps_what_is_used_or_held() {
    let room = tempfile::tempdir().unwrap();
    let cache = cache(room.path());
    let used = install(&cache, "used", "1").unwrap().installed.digest().clone();
    let held = install(&cache, "held", "2").unwrap().installed;
    install(&cache, "unused", "3").unwrap();
    let pruned = cache.prune(&|digest| *digest == used).unwrap();
    assert_eq!(pruned.removed.len(), 1);
    assert_eq!(pruned.removed[0].names, [name("unused")]);
    assert_eq!(pruned.kept.len(), 2);
    assert_eq!(cache.resolve(&name("unused")).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(cache.resolve(&name("used")).is_ok());
    assert_eq!(entries(&room.path().join("trash")).len(), 1);
    drop(held);
    assert_eq!(cache.prune(&|_| false).unwrap().removed.len(), 2);
    assert_eq!(entries(&room.path().join("environments")), [".lock", "locks", "names"]);
    assert_eq!(entries(&room.path().join("environments/names")).len(), 0);
}

#[test]
fn the_cache_is_closed_to_others_and_a_failed_build_leaves_nothing() {
    let room = tempfile::tempdir().unwrap();
    std::fs::create_dir(room.path().join("environments")).unwrap();
    let cache = cache(room.path());
    let root = room.path().join("environments");
    assert_eq!(std::fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
    let failed = cache.install(&name("a"), WISH, &mut |_| {}, &mut |building, _| {
        fill(building, "x")?;
        Err(EnvironmentError::NotInstalled { name: "a".into() })
    });
    assert!(failed.is_err());
    assert_eq!(entries(&root), [".lock", "locks", "names"]);
}

const ROOM: &str = "PYRO_TEST_CRASH_ROOM";

/// Runs in a process of its own, started by the test below, and dies in it.
#[test]
#[ignore = "the crashing half of another test"]
fn crashing_process() {
    let Some(room) = std::env::var_os(ROOM) else { return };
    let cache = cache(Path::new(&room));
    match std::env::var("PYRO_TEST_CRASH_AT").as_deref() {
        Ok("forgotten") => drop(cache.prune(&|_| false)),
        _ => drop(install(&cache, "a", "good")),
    }
}

#[test]
fn the_next_call_repairs_a_crash_at_any_step() {
    let places = [
        "begun",
        "built",
        "written",
        "placed",
        "naming",
        "named",
        "forgotten",
        "placed over damage",
    ];
    for place in places {
        let room = tempfile::tempdir().unwrap();
        let cache = cache(room.path());
        if place == "forgotten" || place == "placed over damage" {
            let rootfs = install(&cache, "a", "good").unwrap().installed.rootfs;
            if place == "placed over damage" {
                std::fs::write(rootfs.join("etc/release"), "evil").unwrap();
            }
        }
        let at = place.split(' ').next().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cache::tests::crashing_process", "--ignored", "--test-threads=1"])
            .env(ROOM, room.path())
            .env("PYRO_TEST_CRASH_AT", at)
            .output()
            .unwrap();
        assert!(!child.status.success(), "{place} was not reached");
        let pulled = install(&cache, "a", "good").unwrap();
        cache.verify(&name("a"), true).unwrap();
        drop(pulled);
        let tree = format!("sha256-{}", cache.resolve(&name("a")).unwrap().digest().hex());
        let root = room.path().join("environments");
        cache.prune(&|_| true).unwrap();
        assert_eq!(entries(&root), [".lock", "locks", "names", tree.as_str()], "{place}");
        assert_eq!(entries(&root.join("names")), ["a"], "{place}");
    }
}
