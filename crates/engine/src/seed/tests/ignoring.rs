//! The baseline's ignore rules, held against git's own answer.

use super::*;
use crate::seed::ignore_rules;

#[test]
fn rules_agree_with_git() {
    let place = Place::repo();
    place.write(".gitignore", "target/\n*.log\n!keep.log\n/top\nbuild\n**/cache/*\n");
    place.write("src/.gitignore", "!noise.log\n*.tmp\n");
    place.write("build/tracked", "t");
    place.write("old.log", "tracked although ignored");
    place.write(".git/info/exclude", "*.mine\n");
    place.git(&["add", "-Af", "build/tracked", "old.log"]);
    place.git(&["commit", "-qm", "x"]);
    let layer = place.seed();
    let rules = ignore_rules(&layer).unwrap();
    for path in [
        "x.log",
        "keep.log",
        "src/noise.log",
        "src/a.tmp",
        "a.tmp",
        "top",
        "src/top",
        "target/x",
        "src/target/deep/x",
        "build/new",
        "build/tracked",
        "old.log",
        "cache/x",
        "a/cache/y/z",
        "README.md",
        "x.mine",
        "new.rs",
        "src/keep.log",
    ] {
        place.write(path, "x");
        let check = git_in(&place.project(), &["check-ignore", "-q", path]);
        assert_eq!(rules.is_ignored(path.as_ref(), false), check.status.success(), "{path}");
    }
    assert!(rules.is_ignored("target".as_ref(), true));
    assert!(!rules.is_ignored("target".as_ref(), false));
    // It holds a tracked file, so nobody may pass it by.
    assert!(!rules.is_ignored("build".as_ref(), true));
}

#[test]
fn what_is_written_later_has_no_say() {
    let place = Place::repo();
    let layer = place.seed();
    let rules = ignore_rules(&layer).unwrap();
    place.write(".gitignore", "*\n");
    assert!(!rules.is_ignored("new".as_ref(), false));
    // In the next layer it has; and a removed file of rules rules no more.
    let layer = place.seed();
    assert_eq!(layer.layers.len(), 2);
    assert!(ignore_rules(&layer).unwrap().is_ignored("new".as_ref(), false));
    std::fs::remove_file(place.at(".gitignore")).unwrap();
    let layer = place.seed();
    assert!(!ignore_rules(&layer).unwrap().is_ignored("x.log".as_ref(), false));
}

#[test]
fn a_part_keeps_the_rules_from_above() {
    let place = Place::repo();
    place.write(".gitignore", "*.log\n/src/made\n");
    place.write("../ignore", "*.private\n");
    let options = SeedOptions {
        user_ignore_file: Some(place.dir.path().join("ignore")),
        ..SeedOptions::default()
    };
    let source = SeedSource::Directory { path: place.at("src") };
    let layer = prepare(&source, &options, &place.store(), &NoArchives).unwrap();
    let rules = ignore_rules(&layer).unwrap();
    assert!(rules.is_ignored("x.log".as_ref(), false));
    assert!(rules.is_ignored("made".as_ref(), true));
    assert!(rules.is_ignored("deep/x.private".as_ref(), false));
    assert!(!rules.is_ignored("main.rs".as_ref(), false));
}

#[test]
fn without_git_nothing_is_ignored() {
    let place = Place::empty();
    place.write(".gitignore", "*\n");
    let rules = ignore_rules(&place.seed()).unwrap();
    assert!(!rules.is_ignored("x".as_ref(), false));
}
