//! What a checkout brings, what stays out, and what is said about it.

use super::*;
use crate::seed::{OriginKind, head_dirty, read_head_blob};

#[test]
fn the_tree_is_what_stands_on_disk() {
    let place = Place::repo();
    place.write("src/main.rs", "fn main() { changed() }\n");
    place.write("new.txt", "untracked\n");
    place.write("target/big.o", "ignored");
    place.write("x.log", "ignored");
    place.write(".pyro/exports/out.patch", "an export");
    std::fs::remove_file(place.at("src/deep/er/x.rs")).unwrap();
    let layer = place.seed();
    assert_eq!(
        files(&layer),
        [".gitignore", "README.md", "link", "new.txt", "run.sh", "src/main.rs"]
    );
    assert_eq!(text(&layer, "src/main.rs"), "fn main() { changed() }\n");
    let tree = merged(&layer);
    assert_eq!(tree["run.sh"].0, "file 755");
    assert_eq!(tree["README.md"].0, "file 644");
    assert_eq!((tree["link"].0.as_str(), tree["link"].1.as_slice()), ("link", &b"README.md"[..]));
    assert_eq!(tree["src"].0, "dir 755");
    assert_eq!(layer.facts.origin_kind, OriginKind::Checkout);
    assert_eq!(layer.facts.origin_ref.as_deref(), Some(place.project().to_str().unwrap()));
    assert_eq!(layer.facts.commit.as_deref(), Some(place.git(&["rev-parse", "HEAD"]).as_str()));
    assert!(layer.facts.dirty && layer.facts.has_git);
    assert_eq!(layer.facts.files, 6);
}

#[test]
fn git_in_the_layer_agrees_with_git_on_the_host() {
    let place = Place::repo();
    place.write("README.md", "staged\n");
    place.git(&["add", "README.md"]);
    place.write("src/main.rs", "edited\n");
    place.write("new.txt", "untracked\n");
    std::fs::remove_file(place.at("src/deep/er/x.rs")).unwrap();
    place.git(&["tag", "-a", "-m", "t", "v1"]);
    place.git(&["branch", "other"]);
    let layer = place.seed();
    let out = place.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    materialise(&layer, &out);
    for args in [
        vec!["status", "--porcelain", "--branch"],
        vec!["for-each-ref"],
        vec!["log", "--all", "--format=%H %s"],
        vec!["ls-files", "--stage"],
        vec!["diff"],
    ] {
        let there = git_in(&out, &args);
        assert!(there.status.success(), "{}", String::from_utf8_lossy(&there.stderr));
        let there = String::from_utf8_lossy(&there.stdout).trim().to_owned();
        assert_eq!(there, place.git(&args), "{args:?}");
    }
    assert!(git_in(&out, &["fsck", "--strict"]).status.success());
    // The index is fresh: nothing of it has to be read again.
    let stale = git_in(&out, &["diff-files", "--name-only"]);
    assert_eq!(String::from_utf8_lossy(&stale.stdout), "src/deep/er/x.rs\nsrc/main.rs\n");
    // An identity is there, so that commits work.
    let commit = Command::new("git")
        .current_dir(&out)
        .args(["commit", "-qam", "inside"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(commit.status.success(), "{}", String::from_utf8_lossy(&commit.stderr));
}

#[test]
fn the_checkout_is_never_changed() {
    let place = Place::repo();
    // Same content under a new time: a careless `git status` would write the index.
    place.write("README.md", "hello\n");
    place.write("src/main.rs", "edited\n");
    let full = |root: &Path| -> Vec<_> {
        let mut all: Vec<_> = listing(root).into_iter().collect();
        for (path, thing) in &mut all {
            let metadata = root.join(path).symlink_metadata().unwrap();
            thing.2 = i128::from(metadata.mtime_nsec()) + i128::from(metadata.ctime_nsec());
            thing.0 += &format!(" {} {} {}", metadata.ino(), metadata.mtime(), metadata.ctime());
        }
        all
    };
    let before = full(&place.project());
    place.seed();
    place.write("../beside", "");
    place.seed();
    assert!(before == full(&place.project()), "the checkout was touched");
}

#[test]
fn ignored_things_stay_out_and_are_listed_when_large() {
    let place = Place::repo();
    place.write("target/big.o", vec![0; 2 << 20]);
    place.write("sub/node_modules/x.js", vec![0; 2 << 20]);
    place.write("small/target/x", "small");
    place.write(".gitignore", "target/\nnode_modules/\n*.log\n.env\n");
    let layer = place.seed();
    let listed: Vec<_> =
        layer.facts.not_seeded.iter().map(|one| (one.path.as_str(), one.flag.as_str())).collect();
    assert_eq!(
        listed,
        [("sub/node_modules", "--include sub/node_modules"), ("target", "--include target")]
    );
    assert!(layer.facts.not_seeded.iter().all(|one| one.bytes > 1 << 20));
    assert!(!files(&layer).iter().any(|path| path.contains("node_modules")));
    // The named flag brings it in, and only it.
    let layer = place.include(&["sub/node_modules"]);
    assert!(files(&layer).contains(&"sub/node_modules/x.js".to_owned()));
    assert_eq!(layer.facts.not_seeded.len(), 1);
}

#[test]
fn a_hit_says_what_stays_out_now() {
    let place = Place::repo();
    let first = place.seed();
    assert!(first.facts.not_seeded.is_empty());
    place.write("target/big.o", vec![0; 2 << 20]);
    let second = place.seed();
    assert_eq!(first.key(), second.key());
    assert_eq!(second.facts.not_seeded.len(), 1);
}

#[test]
fn credentials_come_by_the_users_word_only_and_are_named() {
    let place = Place::repo();
    place.write(".env", "SECRET=1");
    place.write("deploy.pem", "untracked key");
    place.write(".pyro/include", ".env\ntarget\n**/.env\n");
    place.write("target/.env", "X");
    place.write("target/ok", "X");
    let layer = place.seed();
    let all = files(&layer);
    assert!(!all.contains(&".env".into()) && !all.contains(&"target/.env".into()), "{all:?}");
    assert!(all.contains(&"target/ok".into()));
    assert!(layer.facts.notices.iter().any(|text| text.contains("deploy.pem")));
    let layer = place.include(&[".env"]);
    assert!(files(&layer).contains(&".env".into()));
    assert!(layer.facts.notices.iter().any(|text| text.contains(".env")));
}

#[test]
fn a_part_of_a_checkout_follows_the_same_rules_without_git() {
    let place = Place::repo();
    place.write("src/untracked.rs", "u");
    place.write("src/noise.log", "ignored");
    let source = SeedSource::Directory { path: place.at("src") };
    let options = SeedOptions::default();
    let layer = prepare(&source, &options, &place.store(), &NoArchives).unwrap();
    assert_eq!(files(&layer), ["deep/er/x.rs", "main.rs", "untracked.rs"]);
    assert_eq!(layer.facts.origin_kind, OriginKind::Directory);
    assert!(!layer.facts.has_git && layer.facts.git_rules);
    assert!(!merged(&layer).contains_key(".git"));
    // A directory that git ignores as a whole was meant by whoever names it.
    place.write("target/out/a", "built");
    let source = SeedSource::Directory { path: place.at("target") };
    let layer = prepare(&source, &options, &place.store(), &NoArchives).unwrap();
    assert_eq!(files(&layer), ["out/a"]);
    assert!(!layer.facts.git_rules);
    // The root of a checkout is a checkout, whoever names it.
    let source = SeedSource::Directory { path: place.project() };
    let layer = prepare(&source, &options, &place.store(), &NoArchives).unwrap();
    assert_eq!(layer.facts.origin_kind, OriginKind::Checkout);
}

#[test]
fn submodules_and_other_repositories_inside() {
    let place = Place::repo();
    let other = Place::repo();
    other.write("build.log", "ignored there");
    let url = other.project().to_str().unwrap().to_owned();
    place.git(&["submodule", "add", "-q", &url, "vendor/other"]);
    place.git(&["commit", "-qm", "submodule"]);
    place.write("vendor/other/fresh.txt", "untracked in the submodule");
    place.write("vendor/other/noise.log", "ignored in the submodule");
    git_in(&place.project(), &["clone", "-q", &url, "nested"]);
    let layer = place.seed();
    let all = files(&layer);
    for name in ["vendor/other/README.md", "vendor/other/fresh.txt", ".gitmodules"] {
        assert!(all.contains(&name.to_owned()), "{name} in {all:?}");
    }
    assert!(!all.iter().any(|path| path.ends_with(".log") || path.contains("nested")), "{all:?}");
    assert!(!merged(&layer).contains_key("vendor/other/.git"));
    let skipped = &layer.facts.skipped;
    assert!(skipped.iter().any(|one| one.path == "nested" && one.reason.contains("--include")));
    let layer = place.include(&["nested"]);
    let all = files(&layer);
    assert!(all.contains(&"nested/README.md".into()));
    assert!(!merged(&layer).contains_key("nested/.git"));
}

#[test]
fn a_linked_worktree_becomes_an_ordinary_repository() {
    let place = Place::repo();
    let linked = place.dir.path().join("linked");
    place.git(&["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    std::fs::write(linked.join("README.md"), "on the side\n").unwrap();
    let source = SeedSource::Checkout { path: linked };
    let layer = prepare(&source, &SeedOptions::default(), &place.store(), &NoArchives).unwrap();
    assert_eq!(layer.facts.origin_kind, OriginKind::Checkout);
    let out = place.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    materialise(&layer, &out);
    let branch = git_in(&out, &["symbolic-ref", "HEAD"]);
    assert_eq!(String::from_utf8_lossy(&branch.stdout).trim(), "refs/heads/side");
    let status = git_in(&out, &["status", "--porcelain"]);
    assert_eq!(String::from_utf8_lossy(&status.stdout), " M README.md\n");
    assert!(
        git_in(&out, &["worktree", "list"]).stdout.iter().filter(|b| **b == b'\n').count() == 1
    );
}

#[test]
fn unusual_repositories_are_read() {
    // No commit yet.
    let place = Place::empty();
    place.git(&["init", "-q"]);
    place.write("a", "a");
    let layer = place.seed();
    assert_eq!(files(&layer), ["a"]);
    assert_eq!(layer.facts.commit, None);
    // SHA-256, split index, version 4, sparse index.
    let place = Place::empty();
    place.git(&["init", "-q", "--object-format=sha256"]);
    for name in ["a/x", "b/y", "c/z", "top"] {
        place.write(name, name);
    }
    place.git(&["add", "-A"]);
    place.git(&["commit", "-qm", "x"]);
    assert_eq!(files(&place.seed()), ["a/x", "b/y", "c/z", "top"]);
    let key = place.seed().facts.key;
    for args in
        [["update-index", "--index-version", "4"].as_slice(), &["update-index", "--split-index"]]
    {
        place.git(args);
        assert_eq!(place.seed().facts.key, key, "{args:?}");
    }
    place.git(&["update-index", "--no-split-index"]);
    place.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "a"]);
    let layer = place.seed();
    assert_eq!(files(&layer), ["a/x", "top"]);
    let out = place.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    materialise(&layer, &out);
    let status = git_in(&out, &["status", "--porcelain"]);
    assert_eq!(String::from_utf8_lossy(&status.stdout), "");
}

#[test]
fn a_conflict_and_files_git_was_told_not_to_watch() {
    let place = Place::repo();
    place.git(&["checkout", "-qb", "side"]);
    place.write("README.md", "side\n");
    place.git(&["commit", "-qam", "side"]);
    place.git(&["checkout", "-q", "main"]);
    place.write("README.md", "main\n");
    place.git(&["commit", "-qam", "main"]);
    let ours = place.git(&["rev-parse", "HEAD:README.md"]);
    assert!(!git_in(&place.project(), &["merge", "side"]).status.success());
    let layer = place.seed();
    assert!(text(&layer, "README.md").contains("<<<<<<<"));
    let dirty = head_dirty(&layer).unwrap();
    let head = dirty.iter().find(|one| one.path == b"README.md").unwrap().head.clone();
    assert_eq!(head, Some((0o100_644, ours)));
    place.git(&["reset", "-q", "--hard"]);
    place.git(&["update-index", "--assume-unchanged", "src/main.rs"]);
    let before = place.seed();
    place.write("src/main.rs", "unwatched edit\n");
    let after = place.seed();
    assert_ne!(before.key(), after.key());
    assert_eq!(text(&after, "src/main.rs"), "unwatched edit\n");
}

#[test]
fn what_differs_from_head_is_known_with_heads_content() {
    let place = Place::repo();
    place.write("README.md", "edited\n");
    place.write("new", "untracked\n");
    std::fs::remove_file(place.at("src/main.rs")).unwrap();
    let first = place.seed();
    // Again as a delta, so that objects lie in two trees.
    place.git(&["commit", "-qam", "second"]);
    place.write("README.md", "edited again\n");
    let second = place.seed();
    assert_eq!(second.layers.len(), 2);
    let names = |layer| -> Vec<_> {
        let dirty = head_dirty(layer).unwrap();
        dirty.into_iter().map(|one| String::from_utf8(one.path).unwrap()).collect()
    };
    assert_eq!(names(&first), ["README.md", "new", "src/main.rs"]);
    assert_eq!(names(&second), ["README.md", "new"]);
    for (layer, expected) in [(&first, "hello\n"), (&second, "edited\n")] {
        let dirty = head_dirty(layer).unwrap();
        let (mode, oid) = dirty[0].head.clone().unwrap();
        assert_eq!(mode, 0o100_644);
        assert_eq!(read_head_blob(layer, &oid, 100).unwrap(), expected.as_bytes());
        assert_eq!(read_head_blob(layer, &oid, 3).unwrap_err().code(), "too_large");
        assert_eq!(dirty[1].head, None);
    }
    assert_eq!(read_head_blob(&first, "--help", 3).unwrap_err().code(), "invalid_argument");
}

#[test]
fn the_users_ignore_file_counts_as_in_git() {
    let place = Place::repo();
    place.write("notes.private", "mine");
    place.write("../ignore", "*.private\n");
    let ignore = place.dir.path().join("ignore");
    let options = SeedOptions { user_ignore_file: Some(ignore), ..SeedOptions::default() };
    let layer = place.seed_with(&options).unwrap();
    assert!(!files(&layer).contains(&"notes.private".into()));
    assert!(files(&place.seed()).contains(&"notes.private".into()));
}
