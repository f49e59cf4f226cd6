//! Repositories that want to run something on the host, or reach something that is not theirs.

use super::*;

/// A command that leaves a trace.
fn canary(place: &Place, name: &str) -> String {
    format!("touch {}/canary-{name}", place.dir.path().display())
}

fn assert_nothing_ran(place: &Place) {
    for entry in std::fs::read_dir(place.dir.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with("canary-"), "{name} was run");
    }
}

fn arm(place: &Place) {
    for hook in [
        "post-checkout",
        "pre-commit",
        "post-index-change",
        "reference-transaction",
        "fsmonitor-watchman",
        "query-watchman",
        "post-merge",
        "pre-auto-gc",
        "post-upload-pack",
    ] {
        let path = format!(".git/hooks/{hook}");
        place.write(&path, format!("#!/bin/sh\n{}\n", canary(place, hook)));
        place.mode(&path, 0o755);
    }
    let run = |name: &str| canary(place, name);
    let mut config = std::fs::read_to_string(place.at(".git/config")).unwrap();
    let included = place.dir.path().join("included");
    std::fs::write(&included, format!("[core]\n\tfsmonitor = {}\n", run("included"))).unwrap();
    config += &format!(
        "[core]\n\tfsmonitor = \"{}\"\n\tsshCommand = \"{}\"\n\tpager = \"{}\"\n\tgitProxy = \"{}\"\n\
         \teditor = \"{}\"\n\taskPass = \"{}\"\n\talternateRefsCommand = \"{}\"\n\thooksPath = hooks\n\
         \tworktree = /etc\n\tattributesFile = attrs\n\
         [filter \"x\"]\n\tclean = \"{}\"\n\tsmudge = \"{}\"\n\tprocess = \"{}\"\n\trequired = true\n\
         [diff]\n\texternal = \"{}\"\n[diff \"x\"]\n\ttextconv = \"{}\"\n\tcommand = \"{}\"\n\
         [merge \"x\"]\n\tdriver = \"{}\"\n[include]\n\tpath = {}\n\
         [alias]\n\tstatus = \"!{}\"\n\tconfig = \"!{}\"\n\tls-files = \"!{}\"\n\
         [credential]\n\thelper = \"!{}\"\n[uploadpack]\n\tpackObjectsHook = \"{}\"\n\
         [remote \"origin\"]\n\turl = \"ext::{}\"\n\tvcs = x\n\tuploadpack = \"{}\"\n\
         \tpromisor = true\n[gpg]\n\tprogram = \"{}\"\n[pager]\n\tstatus = \"{}\"\n\
         [trailer \"t\"]\n\tcommand = \"{}\"\n[submodule]\n\trecurse = true\n",
        run("fsmonitor"),
        run("ssh"),
        run("pager"),
        run("proxy"),
        run("editor"),
        run("askpass"),
        run("alternates"),
        run("clean"),
        run("smudge"),
        run("process"),
        run("external"),
        run("textconv"),
        run("command"),
        run("driver"),
        included.display(),
        run("alias"),
        run("alias2"),
        run("alias3"),
        run("credential"),
        run("pack"),
        run("ext"),
        run("upload"),
        run("gpg"),
        run("pager2"),
        run("trailer"),
    );
    std::fs::write(place.at(".git/config"), config).unwrap();
    place.write(".git/info/attributes", "* filter=x diff=x merge=x\n");
    // Attributes that make every file go through the filter, and a file that has to be compared.
    place.write(".gitattributes", "* filter=x diff=x merge=x\n");
}

#[test]
fn nothing_of_a_hostile_repository_runs() {
    let place = Place::repo();
    arm(&place);
    place.write("README.md", "HELLO\n");
    place.write("src/main.rs", "fn main() {}\n");
    // The trap works: ordinary git falls into it.
    git_in(&place.project(), &["--work-tree=.", "status"]);
    let fell = std::fs::read_dir(place.dir.path())
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("canary-"));
    assert!(fell, "the canaries do not work here");
    for entry in std::fs::read_dir(place.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("canary-") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let layer = place.seed();
    assert_nothing_ran(&place);
    assert_eq!(text(&layer, "README.md"), "HELLO\n");
    // Once more as a delta, and reading HEAD's blobs.
    place.write("README.md", "HELLO 2\n");
    let layer = place.seed();
    let dirty = crate::seed::head_dirty(&layer).unwrap();
    let oid = dirty.iter().find(|one| one.path == b"README.md").unwrap().head.clone().unwrap().1;
    assert_eq!(crate::seed::read_head_blob(&layer, &oid, 100).unwrap(), b"hello\n");
    // As a source of a clone.
    let url = format!("file://{}", place.project().display());
    let source = SeedSource::Repo { url, reference: None };
    prepare(&source, &SeedOptions::default(), &place.store(), &NoArchives).unwrap();
    assert_nothing_ran(&place);
    // And what came along runs nothing either.
    let tree = merged(&layer);
    assert!(!tree.keys().any(|path| path.starts_with(".git/hooks")), "hooks came along");
    let config = text(&layer, ".git/config");
    assert!(!config.contains("canary"), "{config}");
    assert!(!tree.iter().any(|(path, thing)| {
        path.starts_with(".git/") && String::from_utf8_lossy(&thing.1).contains("canary")
    }));
    let out = place.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    materialise(&layer, &out);
    assert!(git_in(&out, &["status"]).status.success());
    assert!(git_in(&out, &["commit", "-qam", "x"]).status.success());
    assert_nothing_ran(&place);
}

#[test]
fn a_hostile_submodule_runs_nothing() {
    let place = Place::repo();
    let other = Place::repo();
    let url = other.project().to_str().unwrap().to_owned();
    place.git(&["submodule", "add", "-q", &url, "sub"]);
    place.git(&["commit", "-qm", "submodule"]);
    let config = place.at(".git/modules/sub/config");
    let text = std::fs::read_to_string(&config).unwrap();
    let run = canary(&place, "sub");
    std::fs::write(&config, format!("{text}[core]\n\tfsmonitor = \"{run}\"\n")).unwrap();
    place.write("sub/README.md", "edited\n");
    let layer = place.seed();
    assert_nothing_ran(&place);
    assert!(files(&layer).contains(&"sub/README.md".into()));
}

#[test]
fn a_pointer_to_somebody_elses_repository_is_not_followed() {
    let victim = Place::repo();
    let place = Place::empty();
    place.write("a", "a");
    place.write(".git", format!("gitdir: {}/.git\n", victim.project().display()));
    let layer = place.seed();
    assert_eq!(files(&layer), ["a"]);
    assert!(!layer.facts.has_git);
    assert!(layer.facts.notices.iter().any(|text| text.contains("belongs to another")));
    // A forged worktree directory that names the victim as its common directory.
    let fake = format!("{}/fake", place.project().display());
    std::fs::remove_file(place.at(".git")).unwrap();
    place.write(".git", format!("gitdir: {fake}\n"));
    place.write("fake/HEAD", "ref: refs/heads/main\n");
    place.write("fake/commondir", format!("{}/.git\n", victim.project().display()));
    place.write("fake/gitdir", format!("{}/.git\n", place.project().display()));
    let layer = place.seed();
    assert!(!layer.facts.has_git && !layer.facts.git_rules);
    // A link instead of a directory.
    std::fs::remove_file(place.at(".git")).unwrap();
    std::os::unix::fs::symlink(victim.at(".git"), place.at(".git")).unwrap();
    assert!(!place.seed().facts.has_git);
}

#[test]
fn borrowed_objects_are_not_followed() {
    let victim = Place::repo();
    let place = Place::repo();
    let theirs = victim.git(&["rev-parse", "HEAD"]);
    place.write(
        ".git/objects/info/alternates",
        format!("{}/.git/objects\n", victim.project().display()),
    );
    place.write(".git/refs/heads/main", format!("{theirs}\n"));
    // Different content, so that the victim's commit is not ours as well.
    victim.write("secret", "s");
    victim.git(&["add", "-A"]);
    victim.git(&["commit", "-qm", "secret"]);
    let theirs = victim.git(&["rev-parse", "HEAD"]);
    place.write(".git/refs/heads/main", format!("{theirs}\n"));
    let error = place.seed_with(&SeedOptions::default()).unwrap_err();
    assert_eq!(error.code(), "source_failed");
    assert!(error.to_string().contains("alternates"), "{error}");
    // Objects behind a link are no objects of this repository at all.
    let place = Place::repo();
    std::fs::remove_dir_all(place.at(".git/objects")).unwrap();
    std::os::unix::fs::symlink(victim.at(".git/objects"), place.at(".git/objects")).unwrap();
    assert!(!place.seed().facts.has_git);
}

#[test]
fn an_index_with_paths_that_lead_out_reads_nothing() {
    let place = Place::repo();
    place.write("../outside", "secret");
    // The same length, so that the index stays well formed.
    place.write("aa/outside", "x");
    place.write("xgit/config", "[core]\n");
    place.git(&["add", "-A"]);
    let path = place.at(".git/index");
    let mut bytes = std::fs::read(&path).unwrap();
    for (from, to) in [("aa/outside", "../outside"), ("xgit/config", ".git/config")] {
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    match place.seed_with(&SeedOptions::default()) {
        Ok(layer) => {
            let tree = merged(&layer);
            assert!(tree.keys().all(|path| !path.contains("..")));
            assert!(text(&layer, ".git/config").contains("checkStat"));
            assert!(layer.facts.skipped.iter().any(|one| one.path == "../outside"));
        }
        Err(error) => assert_eq!(error.code(), "source_failed"),
    }
}

#[test]
fn links_are_copied_and_never_followed() {
    let place = Place::repo();
    place.write("../secret/id", "secret");
    let secret = place.dir.path().join("secret");
    std::os::unix::fs::symlink(secret.join("id"), place.at("file-link")).unwrap();
    std::os::unix::fs::symlink(&secret, place.at("dir-link")).unwrap();
    // A tracked directory that became a link out of the tree.
    std::fs::remove_dir_all(place.at("src")).unwrap();
    std::fs::write(secret.join("main.rs"), "secret").unwrap();
    std::os::unix::fs::symlink(&secret, place.at("src")).unwrap();
    let layer = place.seed();
    let tree = merged(&layer);
    for name in ["file-link", "dir-link", "src"] {
        assert_eq!(tree[name].0, "link", "{name}");
    }
    assert!(tree.values().all(|thing| thing.1 != b"secret"));
}

#[test]
fn pipes_sockets_and_setuid_files_are_made_harmless() {
    let place = Place::repo();
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    let pipe = |name: &str| rustix::fs::mkfifoat(rustix::fs::CWD, place.at(name), mode).unwrap();
    pipe("pipe");
    std::fs::remove_file(place.at("README.md")).unwrap();
    pipe("README.md");
    let _socket = std::os::unix::net::UnixListener::bind(place.at("socket")).unwrap();
    place.mode("run.sh", 0o6777);
    let layer = place.seed();
    let reasons: Vec<_> = layer.facts.skipped.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(reasons, ["README.md", "pipe", "socket"]);
    assert_eq!(merged(&layer)["run.sh"].0, "file 755");
    // In a plain directory the same.
    let plain = Place::empty();
    std::os::unix::net::UnixListener::bind(plain.at("socket")).unwrap();
    plain.write("f", "f");
    let layer = plain.seed();
    assert_eq!(files(&layer), ["f"]);
    assert_eq!(layer.facts.skipped[0].reason, "a socket");
}

#[test]
fn a_pipe_for_a_gitignore_ends_at_the_deadline() {
    let place = Place::repo();
    std::fs::create_dir(place.at("trap")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mkfifoat(rustix::fs::CWD, place.at("trap/.gitignore"), mode).unwrap();
    place.write("trap/x", "x");
    let git_deadline = std::time::Duration::from_secs(2);
    let options = SeedOptions { git_deadline, ..SeedOptions::default() };
    match place.seed_with(&options) {
        Err(error) => assert_eq!(error.code(), "deadline"),
        Ok(layer) => assert!(files(&layer).contains(&"trap/x".into())),
    }
}

#[test]
fn limits_are_kept() {
    let place = Place::repo();
    let with = |limits| place.seed_with(&SeedOptions { limits, ..SeedOptions::default() });
    let few = SeedLimits { files: 3, ..SeedLimits::default() };
    assert_eq!(with(few).unwrap_err().code(), "too_large");
    // A sparse file takes no room here and would take all of it there.
    let file = std::fs::File::create(place.at("huge")).unwrap();
    file.set_len(30 << 30).unwrap();
    assert_eq!(with(SeedLimits::default()).unwrap_err().code(), "too_large");
    assert!(listing(&place.store()).keys().all(|name| !name.contains("tree")));
    let plain = Place::empty();
    plain.write("a/b/c/d", "x");
    let limits = SeedLimits { depth: 3, ..SeedLimits::default() };
    let options = SeedOptions { limits, ..SeedOptions::default() };
    assert_eq!(plain.seed_with(&options).unwrap_err().code(), "too_large");
}

#[test]
fn the_root_and_the_home_are_refused() {
    let place = Place::repo();
    let options = SeedOptions { user_home: Some(place.project()), ..SeedOptions::default() };
    let error = place.seed_with(&options).unwrap_err();
    assert_eq!(error.code(), "invalid_argument");
    assert!(error.to_string().contains("--seed-path"), "{error}");
    let root = SeedSource::Directory { path: "/".into() };
    let error = prepare(&root, &options, &place.store(), &NoArchives).unwrap_err();
    assert_eq!(error.code(), "invalid_argument");
    // Named on purpose, the home is a directory like any other.
    let named = SeedSource::Directory { path: place.project() };
    assert!(prepare(&named, &options, &place.store(), &NoArchives).is_ok());
}

#[test]
fn unreadable_files_are_skipped_and_listed() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root can read everything");
        return;
    }
    for place in [Place::repo(), Place::empty()] {
        place.write("locked/inside", "x");
        place.write("secret", "x");
        place.mode("secret", 0);
        place.mode("locked", 0);
        let layer = place.seed();
        place.mode("locked", 0o755);
        let names: Vec<_> = layer.facts.skipped.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(names, ["locked", "secret"]);
        assert!(!files(&layer).contains(&"secret".into()));
    }
}
