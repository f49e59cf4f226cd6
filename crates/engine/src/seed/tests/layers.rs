//! Sharing, waiting, sweeping and collecting.

use std::collections::HashSet;

use super::*;
use crate::seed::{collect_unused, open_layer, sweep};

fn names(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.store()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with(".lock-") && !name.starts_with(".origin-"));
    names.sort();
    names
}

#[test]
fn the_same_state_is_the_same_layer() {
    let place = Place::repo();
    place.write("new", "x");
    let first = place.seed();
    let made = std::fs::metadata(&first.layers[0]).unwrap().ino();
    let second = place.seed();
    assert_eq!(first.key(), second.key());
    assert_eq!(std::fs::metadata(&second.layers[0]).unwrap().ino(), made);
    // A refresh of the index is no new state; an edit, a stage, a commit and a branch are.
    place.git(&["status"]);
    assert_eq!(place.seed().key(), first.key());
    let mut keys = HashSet::from([first.key().to_owned()]);
    place.write("new", "y");
    assert!(keys.insert(place.seed().facts.key));
    place.git(&["add", "-A"]);
    assert!(keys.insert(place.seed().facts.key));
    place.git(&["commit", "-qm", "second"]);
    assert!(keys.insert(place.seed().facts.key));
    place.git(&["branch", "other"]);
    assert!(keys.insert(place.seed().facts.key));
    std::fs::remove_file(place.at("new")).unwrap();
    assert!(keys.insert(place.seed().facts.key));
    place.mode("README.md", 0o755);
    assert!(keys.insert(place.seed().facts.key));
}

#[test]
fn two_builders_at_once_do_the_work_once() {
    let place = Place::repo();
    for file in 0..300 {
        place.write(&format!("d{}/f{file}", file % 10), format!("{file}"));
    }
    place.git(&["add", "-A"]);
    place.git(&["commit", "-qm", "many"]);
    let barrier = std::sync::Barrier::new(4);
    let inodes: HashSet<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let layer = place.seed();
                    std::fs::metadata(&layer.layers[0]).unwrap().ino()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(inodes.len(), 1);
    assert_eq!(names(&place).len(), 1, "leftovers: {:?}", names(&place));
}

#[test]
fn what_a_killed_build_left_is_swept_and_a_living_one_is_not() {
    let place = Place::repo();
    let living = crate::seed::locks::Building::begin(&place.store()).unwrap();
    let dead = place.store().join(".building-dead");
    std::fs::create_dir_all(dead.join("layer/tree")).unwrap();
    std::fs::write(place.store().join(".building-dead.lock"), "").unwrap();
    std::fs::write(place.store().join(".building-other.lock"), "").unwrap();
    let moved = sweep(&place.store(), &place.trash()).unwrap();
    assert_eq!(moved.len(), 1);
    assert!(moved[0].join("layer/tree").is_dir());
    assert!(living.dir.is_dir());
    drop(living);
    assert_eq!(names(&place), Vec::<String>::new());
}

#[test]
fn a_failed_build_leaves_nothing() {
    let place = Place::repo();
    let limits = SeedLimits { bytes: 10, ..SeedLimits::default() };
    let options = SeedOptions { limits, ..SeedOptions::default() };
    assert_eq!(place.seed_with(&options).unwrap_err().code(), "too_large");
    assert_eq!(names(&place), Vec::<String>::new());
}

#[test]
fn only_what_nobody_uses_is_collected() {
    let place = Place::repo();
    let full = place.seed();
    place.write("README.md", "edited");
    let delta = place.seed();
    assert_eq!(delta.layers.len(), 2);
    let (full_key, delta_key) = (full.key().to_owned(), delta.key().to_owned());
    let none = HashSet::new();
    // Held layers stay, whatever the records say.
    assert_eq!(collect_unused(&place.store(), &none, &place.trash()).unwrap().len(), 0);
    drop((full, delta));
    // The base stays for the delta that a record names.
    let used = HashSet::from([delta_key.clone()]);
    assert_eq!(collect_unused(&place.store(), &used, &place.trash()).unwrap().len(), 0);
    let layer = open_layer(&place.store(), &delta_key).unwrap();
    assert_eq!(text(&layer, "README.md"), "edited");
    drop(layer);
    let used = HashSet::from([full_key]);
    assert_eq!(collect_unused(&place.store(), &used, &place.trash()).unwrap().len(), 1);
    assert_eq!(open_layer(&place.store(), &delta_key).unwrap_err().code(), "store_damaged");
    assert_eq!(collect_unused(&place.store(), &none, &place.trash()).unwrap().len(), 1);
    assert_eq!(names(&place), Vec::<String>::new());
    // The forgotten base is no obstacle.
    assert_eq!(text(&place.seed(), "README.md"), "edited");
}

#[test]
fn a_record_cannot_name_a_path() {
    let place = Place::repo();
    for key in ["../../etc", "", "abc", &"g".repeat(64)] {
        assert_eq!(open_layer(&place.store(), key).unwrap_err().code(), "store_damaged");
    }
}

#[test]
fn a_project_that_changes_meanwhile_is_not_found_again() {
    let place = Place::repo();
    let work = crate::seed::beneath::Rooted::open(&place.project()).unwrap();
    // A listing from before every file of the project.
    let plain = crate::seed::directory::read(&work, &SeedLimits::default(), false).unwrap();
    let tree = place.dir.path().join("tree");
    let places: Vec<_> = (0..plain.entries.len()).collect();
    for (listed_at, unsettled) in [(0, true), (i64::MAX, false)] {
        let listed_at = rustix::fs::Timespec { tv_sec: listed_at, tv_nsec: 0 };
        let sources =
            crate::seed::copying::Sources { work: &work, git: None, listed_at: Some(listed_at) };
        std::fs::create_dir(&tree).unwrap();
        let limits = SeedLimits::default();
        let copied =
            crate::seed::copying::copy(&plain.entries, &places, sources, &tree, &limits, 0)
                .unwrap();
        assert_eq!(copied.unsettled, unsettled);
        std::fs::remove_dir_all(&tree).unwrap();
    }
}
