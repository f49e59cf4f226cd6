//! What bad input gets: the right code, a hint, and nothing changed.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use pyro_engine::{Fence, ProjectSource};
use pyro_operations::Code;
use serde_json::{Value, json};

use super::support::{
    Home, text,
    tree::{self, git_ok},
};

#[test]
fn names_that_are_not_there_or_taken() {
    let home = Home::new();
    let workspace =
        text(&home.ok("workspace_create", json!({"no_seed": true, "name": "mine"}))["workspace"]);
    let before = home.records();
    for reference in ["nope", "ws_aaaaaaaaaa", "ws_", "", "../mine", "ws_*", "ws_aaaa", "\u{0}"] {
        home.refused("workspace_status", json!({"workspace": reference}), Code::NotFound);
        home.refused("workspace_delete", json!({"workspace": reference}), Code::NotFound);
        home.refused(
            "workspace_exec",
            json!({"workspace": reference, "command": "true"}),
            Code::NotFound,
        );
    }
    home.refused(
        "workspace_exec_wait",
        json!({"workspace": workspace, "exec_id": "ex_aaaaaaaaaa"}),
        Code::NotFound,
    );
    let failure = home.refused(
        "workspace_create",
        json!({"no_seed": true, "name": "mine"}),
        Code::AlreadyExists,
    );
    assert_eq!(failure.details["workspace"], workspace);
    let other = home.create_empty();
    home.refused(
        "workspace_update",
        json!({"workspace": other, "name": "mine"}),
        Code::AlreadyExists,
    );
    home.delete(&other);
    for environment in ["nope", "debian:99", "../x", "/etc", "docker.io/library/nope:1"] {
        let request = json!({"no_seed": true, "environment": environment});
        let failure = home.call("workspace_create", request).unwrap_err();
        let codes = [Code::NotFound, Code::EnvironmentMissing, Code::InvalidArgument];
        assert!(codes.contains(&failure.code), "{environment}: {failure:?}");
        assert!(!failure.hint.is_empty(), "{environment}: {failure:?}");
    }
    // A fresh home has no kernel, and some hosts have no QEMU: said before anything is made.
    let request = json!({"no_seed": true, "machine": "microvm"});
    let unfit = home.refused("workspace_create", request, Code::HostUnfit);
    assert!(unfit.details.contains_key("check"), "{unfit:?}");
    let request = json!({"no_seed": true, "machine": "microvm", "environment": "host"});
    let never = home.refused("workspace_create", request, Code::Unsupported);
    assert!(never.details.contains_key("instead"), "{never:?}");
    home.refused("vm_run", json!({"command": "true", "machine": "microvm"}), Code::HostUnfit);
    home.refused("prepare", json!({"network": true}), Code::Unsupported);
    assert_eq!(home.records(), before);
}

#[test]
fn more_workspaces_than_allowed() {
    let config = pyro_engine::Config { max_workspaces: Some(1), ..Default::default() };
    let home = Home::with(config);
    home.create_empty();
    home.refused("workspace_create", json!({"no_seed": true}), Code::LimitReached);
    assert_eq!(home.records().len(), 1);
    assert_eq!(home.left().len(), 2, "a folder and a lock: {:?}", home.left());
}

#[test]
fn paths_that_leave_the_workspace() {
    let home = Home::new();
    let seed = home.path("seed");
    fs::create_dir(&seed).unwrap();
    fs::write(home.path("secret"), "canary").unwrap();
    fs::write(seed.join("inside"), "text\n").unwrap();
    let workspace = home.create(&seed);
    home.sh(
        &workspace,
        "ln -s /etc/passwd absolute; ln -s ../../../etc/passwd up; ln -s /etc etc; \
         ln -s loop loop; ln -s inside fine; ln -s /workspace/inside whole; ln -s /proc/self/root root",
    );
    let before = home.sh(&workspace, "ls -la; cat inside");
    for path in ["/etc/passwd", "../x", "a/../../x", "/workspace/../etc/passwd", "/", "/workspacex"]
    {
        for (name, more) in [
            ("workspace_file_read", json!({})),
            ("workspace_file_write", json!({"content": "x"})),
            ("workspace_file_edit", json!({"old_string": "a", "new_string": "b"})),
            ("workspace_file_list", json!({})),
            ("workspace_export", json!({"output": home.path("out")})),
        ] {
            home.refused(name, with(&workspace, path, &more), Code::PathEscapes);
        }
        let request = json!({"workspace": workspace, "command": "true", "cwd": path});
        home.refused("workspace_exec", request, Code::PathEscapes);
        let request = json!({"workspace": workspace, "paths": [path]});
        home.refused("workspace_diff", request, Code::PathEscapes);
    }
    for path in ["absolute", "up", "etc/passwd", "root/etc/passwd"] {
        for (name, more) in [
            ("workspace_file_read", json!({})),
            ("workspace_file_edit", json!({"old_string": "root", "new_string": "b"})),
            ("workspace_file_write", json!({"content": "x"})),
        ] {
            let result = home.call(name, with(&workspace, path, &more));
            match result {
                Err(failure) => {
                    assert_eq!(failure.code, Code::PathEscapes, "{name} {path}: {failure:?}");
                    assert!(!failure.hint.is_empty());
                }
                Ok(reply) => panic!("{name} {path}: {reply}"),
            }
        }
    }
    let origin = seed.join("inside").display().to_string();
    let failure = home.refused(
        "workspace_file_read",
        with(&workspace, &origin, &json!({})),
        Code::PathEscapes,
    );
    assert!(failure.hint.contains("`inside`"), "the path inside is said: {}", failure.hint);
    assert_eq!(home.sh(&workspace, "ls -la; cat inside"), before);
    assert!(!home.path("out").exists());
    let read = home.ok("workspace_file_read", with(&workspace, "fine", &json!({})));
    assert_eq!(read["content"], "text\n");
}

fn with(workspace: &str, path: &str, more: &Value) -> Value {
    let mut request = json!({"workspace": workspace, "path": path});
    for (key, value) in more.as_object().unwrap() {
        request[key] = value.clone();
    }
    request
}

#[test]
fn files_that_are_not_what_was_expected() {
    let home = Home::new();
    let workspace = home.create_empty();
    home.sh(
        &workspace,
        "printf 'a\\377b' > binary; mkdir directory; echo one one > twice; \
         head -c 9000000 /dev/zero | tr '\\0' z > large; mkfifo pipe",
    );
    let read =
        |path: &str, more: &Value| home.call("workspace_file_read", with(&workspace, path, more));
    let edit = |path: &str, old: &str| {
        with(&workspace, path, &json!({"old_string": old, "new_string": "new"}))
    };
    home.refused("workspace_file_read", with(&workspace, "none", &json!({})), Code::NotFound);
    home.refused("workspace_file_read", with(&workspace, "binary", &json!({})), Code::NotText);
    home.refused("workspace_file_edit", edit("binary", "a"), Code::NotText);
    home.refused(
        "workspace_file_read",
        with(&workspace, "directory", &json!({})),
        Code::InvalidArgument,
    );
    home.refused(
        "workspace_file_read",
        with(&workspace, "pipe", &json!({})),
        Code::InvalidArgument,
    );
    home.refused("workspace_file_edit", edit("none", "a"), Code::NotFound);
    home.refused("workspace_file_edit", edit("twice", "absent"), Code::Conflict);
    let failure = home.refused("workspace_file_edit", edit("twice", "one"), Code::Conflict);
    assert!(failure.hint.contains("replace_all"), "{failure:?}");
    home.refused("workspace_file_edit", edit("large", "z"), Code::TooLarge);
    home.refused(
        "workspace_file_write",
        with(&workspace, "big", &json!({"content": "x".repeat((8 << 20) + 1)})),
        Code::TooLarge,
    );
    home.refused(
        "workspace_file_write",
        with(&workspace, "directory", &json!({"content": "x"})),
        Code::InvalidArgument,
    );
    assert_eq!(read("binary", &json!({"encoding": "base64"})).unwrap()["content"], "Yf9i");
    let part = read("large", &json!({})).unwrap();
    assert!(part["content"].as_str().unwrap().len() <= 30_000);
    assert_eq!(part["bytes"], 9_000_000);
    assert_eq!(
        home.sh(&workspace, "cat twice; ls | tr '\\n' ' '"),
        "one one\nbinary directory large pipe twice "
    );
    home.refused(
        "workspace_exec",
        json!({"workspace": workspace, "command": "true", "cwd": "none"}),
        Code::NotFound,
    );
    home.refused(
        "workspace_exec",
        json!({"workspace": workspace, "command": "cat", "stdin": "x".repeat((1 << 20) + 1)}),
        Code::TooLarge,
    );
}

/// Name, kind, link, content.
type Entry<'a> = (&'a str, u8, &'a str, &'a [u8]);

/// An archive of raw entries.
fn archive(path: &Path, entries: &[Entry]) {
    let mut bytes = Vec::new();
    for (name, kind, link, content) in entries {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[148..156].copy_from_slice(b"        ");
        header[156] = *kind;
        header[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    fs::write(path, bytes).unwrap();
}

#[test]
fn archives_that_lead_out_or_blow_up() {
    let home = Home::new();
    fs::write(home.path("victim"), "whole\n").unwrap();
    let victim = home.path("victim").display().to_string();
    let tar = home.path("seed.tar");
    let file = (b'0', "", &b"evil\n"[..]);
    let cases: &[(&str, Vec<Entry>)] = &[
        ("up", vec![("../victim", file.0, file.1, file.2)]),
        ("up inside", vec![("a/../../victim", file.0, file.1, file.2)]),
        ("absolute", vec![(&victim, file.0, file.1, file.2)]),
        ("hard link outward", vec![("link", b'1', "../victim", b"")]),
        ("hard link absolute", vec![("link", b'1', &victim, b""), ("link", b'0', "", b"evil")]),
        ("through a link", vec![("out", b'2', "..", b""), ("out/victim", b'0', "", b"evil\n")]),
        (
            "hard link through a link",
            vec![
                ("out", b'2', "..", b""),
                ("link", b'1', "out/victim", b""),
                ("link", b'0', "", b"evil"),
            ],
        ),
        ("character device", vec![("null", b'3', "", b"")]),
        ("block device", vec![("disk", b'4', "", b"")]),
    ];
    for (what, entries) in cases {
        archive(&tar, entries);
        let refused = home.call("workspace_create", json!({"seed_path": tar}));
        match refused {
            Err(failure) => {
                assert_eq!(failure.code, Code::HostileInput, "{what}: {failure:?}");
                assert!(!failure.hint.is_empty(), "{what}: no hint: {failure:?}");
            }
            Ok(reply) => panic!("{what}: {reply}"),
        }
        assert_eq!(fs::read_to_string(home.path("victim")).unwrap(), "whole\n", "{what}");
        home.assert_nothing_is_left();
    }
    // A bomb: very small packed, very large unpacked.
    let packed = home.path("bomb.tar.gz");
    let made = std::process::Command::new("sh")
        .arg("-c")
        .arg("mkdir b && truncate -s 3G b/zero && tar -cf - --hole-detection=raw --sparse-version=0 b 2>/dev/null | gzip -1 > bomb.tar.gz; rm -r b")
        .current_dir(home.folder.path())
        .status()
        .unwrap();
    assert!(made.success());
    if fs::metadata(&packed).unwrap().len() > 1 << 20 {
        home.refused("workspace_create", json!({"seed_path": packed}), Code::HostileInput);
    }
    // No archive at all, cut short, and not there.
    fs::write(&tar, "this is no archive").unwrap();
    let failure = home.call("workspace_create", json!({"seed_path": tar})).unwrap_err();
    assert!(
        [Code::HostileInput, Code::SourceFailed, Code::InvalidArgument].contains(&failure.code),
        "{failure:?}"
    );
    home.refused("workspace_create", json!({"seed_path": home.path("none")}), Code::NotFound);
    home.assert_nothing_is_left();
    home.ok("workspace_prune", json!({}));
    let layers = fs::read_dir(home.home().join("layers")).unwrap().flatten();
    // Locks of makers stay behind, empty.
    let left: Vec<_> = layers
        .filter(|entry| entry.metadata().unwrap().len() > 0 || entry.file_type().unwrap().is_dir())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_hostile_repository_runs_nothing_on_the_host() {
    let home = Home::new();
    let canary = home.path("canary");
    let repo = home.path("repo");
    fs::create_dir(&repo).unwrap();
    git_ok(&repo, &["init", "-q"]);
    fs::write(repo.join("a.txt"), "a\n").unwrap();
    fs::write(repo.join(".gitattributes"), "*.txt filter=evil diff=evil merge=evil\n").unwrap();
    git_ok(&repo, &["add", "-A"]);
    git_ok(&repo, &["commit", "-qm", "first"]);
    let program = repo.join("evil.sh");
    fs::write(&program, format!("#!/bin/sh\necho \"$0 $*\" >> {}\ncat\n", canary.display()))
        .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let run = program.display();
    let include = repo.join("included.config");
    fs::write(&include, format!("[core]\n\tfsmonitor = {run}\n")).unwrap();
    let config = format!(
        "\n[core]\n\tfsmonitor = {run}\n\thooksPath = {hooks}\n\tsshCommand = {run}\n\tgitProxy = {run}\n\
         \tpager = {run}\n\teditor = {run}\n\taskPass = {run}\n\talternateRefsCommand = {run}\n\
         \tworktree = /etc\n\
         [filter \"evil\"]\n\tclean = {run}\n\tsmudge = {run}\n\tprocess = {run}\n\trequired = true\n\
         [diff]\n\texternal = {run}\n[diff \"evil\"]\n\ttextconv = {run}\n\tcommand = {run}\n\
         [merge \"evil\"]\n\tdriver = {run} %A\n[gpg]\n\tprogram = {run}\n[commit]\n\tgpgSign = true\n\
         [alias]\n\tstatus = !{run}\n\tls-files = !{run}\n[credential]\n\thelper = !{run}\n\
         [remote \"origin\"]\n\turl = ext::{run}\n\tuploadpack = {run}\n\tvcs = evil\n\
         [url \"ext::{run}\"]\n\tinsteadOf = file://\n\
         [include]\n\tpath = {include}\n[includeIf \"gitdir:/\"]\n\tpath = {include}\n\
         [submodule \"s\"]\n\tupdate = !{run}\n[uploadpack]\n\tpackObjectsHook = {run}\n\
         [protocol \"ext\"]\n\tallow = always\n[pager]\n\tstatus = {run}\n[interactive]\n\tdiffFilter = {run}\n",
        hooks = repo.display(),
        include = include.display(),
    );
    let mut file = fs::OpenOptions::new().append(true).open(repo.join(".git/config")).unwrap();
    file.write_all(config.as_bytes()).unwrap();
    for hook in [
        "post-checkout",
        "pre-commit",
        "post-index-change",
        "reference-transaction",
        "fsmonitor-watchman",
    ] {
        for folder in [repo.join(".git/hooks"), repo.clone()] {
            let _ = fs::create_dir(&folder);
            fs::copy(&program, folder.join(hook)).unwrap();
            fs::set_permissions(folder.join(hook), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    fs::write(repo.join(".git/objects/info/alternates"), "/nonexistent\n").unwrap();
    fs::write(repo.join("a.txt"), "changed\n").unwrap();
    symlink("/etc/passwd", repo.join("passwd")).unwrap();

    let through = |request: Value| match home.call("workspace_create", request) {
        Ok(reply) => Some(text(&reply["workspace"])),
        Err(failure) => {
            assert!(!failure.hint.is_empty(), "{failure:?}");
            assert_ne!(failure.code, Code::Internal, "{failure:?}");
            None
        }
    };
    let seeded = through(json!({"seed_path": repo}));
    through(json!({"repo_url": format!("file://{}", repo.display())}));
    through(json!({"repo_url": format!("ext::{run}")}));
    through(json!({"repo_url": format!("-u{run}")}));
    through(
        json!({"repo_url": format!("file://{}", repo.display()), "repo_ref": format!("--upload-pack={run}")}),
    );
    if let Some(workspace) = &seeded {
        home.sh(workspace, "echo b >> a.txt");
        home.ok("workspace_diff", json!({"workspace": workspace}));
        home.ok("workspace_diff", json!({"workspace": workspace, "from": "head"}));
        home.ok(
            "workspace_export",
            json!({"workspace": workspace, "output": home.path("out.patch")}),
        );
        home.ok("workspace_reset", json!({"workspace": workspace}));
        assert!(
            !home
                .sh(workspace, "cat .git/config; ls .git/hooks 2>/dev/null || true")
                .contains("evil")
        );
        assert_eq!(home.sh(workspace, "git -c core.pager=cat status --short a.txt"), " M a.txt\n");
    }
    assert!(!canary.exists(), "{}", fs::read_to_string(&canary).unwrap());
    assert!(seeded.is_some(), "a repository with such settings is seeded without them");
}

#[test]
fn a_model_stays_within_its_fence() {
    let home = Home::new();
    let (inside, outside) = (home.path("project"), home.path("secrets"));
    for folder in [&inside, &outside] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("file"), "text\n").unwrap();
    }
    symlink(&outside, inside.join("way out")).unwrap();
    let mut context = home.context();
    context.door = pyro_engine::Door::Mcp;
    context.cwd = inside.clone();
    context.fence = Some(std::sync::Arc::new(Fence {
        project: ProjectSource::Directory(inside.clone()),
        max_memory_mib: Some(512),
        max_workspaces: Some(1),
        ..Fence::default()
    }));
    let call = |name: &str, request: Value| home.engine.call_json(name, &request, &context);
    for request in [
        json!({"seed_path": outside}),
        json!({"seed_path": inside.join("way out")}),
        json!({"seed_path": "../secrets"}),
        json!({"repo_url": format!("file://{}", outside.display())}),
    ] {
        let failure = call("workspace_create", request.clone()).unwrap_err();
        assert_eq!(failure.code, Code::NotPermitted, "{request}: {failure:?}");
        assert!(!failure.hint.is_empty(), "{failure:?}");
    }
    for request in [
        json!({"memory_mib": 4096}),
        json!({"include": [".env"]}),
        json!({"include": ["sub/**", "*.pem"], "no_seed": true}),
        json!({"seed_path": home.path("no such thing")}),
        json!({"seed_path": "/proc/self/root/etc"}),
    ] {
        let failure = call("workspace_create", request.clone()).unwrap_err();
        assert_eq!(failure.code, Code::NotPermitted, "{request}: {failure:?}");
        assert!(!failure.hint.is_empty(), "{failure:?}");
    }
    let failure = call("workspace_create", json!({"seed_path": "no such thing"})).unwrap_err();
    assert_eq!(failure.code, Code::NotFound, "{failure:?}");
    for person in ["workspace_prune", "environment_prune", "prepare", "doctor"] {
        let failure = call(person, json!({})).unwrap_err();
        assert_eq!(failure.code, Code::NotPermitted, "{person}: {failure:?}");
    }
    let workspace =
        text(&call("workspace_create", json!({"memory_mib": 256})).unwrap()["workspace"]);
    for output in ["/tmp/x", "../x", "a/../../x", ".", "", "a//b", ".git/config", "x/.GIT"] {
        let request = json!({"workspace": workspace, "path": "file", "output": output});
        let failure = call("workspace_export", request).unwrap_err();
        assert_eq!(failure.code, Code::NotPermitted, "{output}: {failure:?}");
        assert!(!failure.hint.is_empty(), "{failure:?}");
    }
    let request = json!({"workspace": workspace, "path": "file", "output": "copy"});
    let reply = call("workspace_export", request.clone()).unwrap();
    let exports = inside.join(".pyro/exports");
    assert_eq!(reply["host_path"], exports.join("copy").display().to_string());
    assert_eq!(call("workspace_export", request).unwrap_err().code, Code::AlreadyExists);
    // A link where the export would land is not followed.
    symlink(&outside, exports.join("link")).unwrap();
    let request = json!({"workspace": workspace, "path": "file", "output": "link/new"});
    assert_eq!(call("workspace_export", request).unwrap_err().code, Code::NotPermitted);
    assert_eq!(tree::read(&outside).len(), 1);
}

#[test]
fn forks_without_end_and_commands_that_never_exit() {
    let home = Home::new();
    let workspace = home.create_empty();
    // Every limit of this kind needs one: without a cgroup it would be the host's.
    let status = home.ok("workspace_status", json!({"workspace": workspace}));
    let unbounded = status["resources"]["not_enforced"].as_array().into_iter().flatten();
    if unbounded.into_iter().any(|row| row["limit"] == "processes") {
        return super::support::skip("fork_bomb", "no cgroup bounds the processes here");
    }
    let bomb = "b() { b | b & b; }; b; sleep 1000";
    let reply = home.ok(
        "workspace_exec",
        json!({"workspace": workspace, "command": bomb, "timeout_s": 2, "wait_s": 60, "max_output_chars": 2000}),
    );
    assert!(["timed_out", "lost"].contains(&reply["state"].as_str().unwrap()), "{reply}");
    assert_eq!(home.sh(&workspace, "echo usable"), "usable\n");
    let reply = home.ok(
        "workspace_exec",
        json!({"workspace": workspace, "command": bomb, "wait_s": 1, "max_output_chars": 2000}),
    );
    assert_eq!(reply["state"], "running", "{reply}");
    let reply = home.ok(
        "workspace_exec_stop",
        json!({"workspace": workspace, "exec_id": reply["exec_id"], "signal": "KILL"}),
    );
    assert_ne!(reply["state"], "running", "{reply}");
    assert_eq!(home.sh(&workspace, "echo usable"), "usable\n");
}
