//! Trees on the host as tests compare them: files with content and executable bit, and links.
//! Empty directories do not count, as in Git.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt, fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::Home;
use serde_json::{Value, json};

#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    File { content: Vec<u8>, executable: bool },
    Link(PathBuf),
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(target) => write!(f, "-> {}", target.display()),
            Self::File { content, executable } => {
                let start = &content[..content.len().min(120)];
                let sign = if *executable { "x " } else { "" };
                write!(f, "{sign}{} bytes {:?}", content.len(), String::from_utf8_lossy(start))
            }
        }
    }
}

pub type Tree = BTreeMap<Vec<u8>, Entry>;

/// What lies below a directory, without what is Git's own.
pub fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() == ".git" {
                continue;
            }
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_symlink() {
                tree.insert(name, Entry::Link(fs::read_link(path).unwrap()));
            } else {
                let executable = entry.metadata().unwrap().permissions().mode() & 0o111 != 0;
                tree.insert(name, Entry::File { content: fs::read(path).unwrap(), executable });
            }
        }
    }
    tree
}

/// Writes a tree to the host.
pub fn write(root: &Path, tree: &Tree) {
    fs::create_dir_all(root).unwrap();
    for (name, entry) in tree {
        let path = root.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match entry {
            Entry::Link(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            Entry::File { content, executable } => {
                fs::write(&path, content).unwrap();
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
}

/// What differs, short enough to read.
#[track_caller]
pub fn assert_same(found: &Tree, wanted: &Tree, about: &dyn fmt::Display) {
    let mut differences = Vec::new();
    for name in found.keys().chain(wanted.keys()).collect::<std::collections::BTreeSet<_>>() {
        let (a, b) = (found.get(name), wanted.get(name));
        if a != b {
            differences
                .push(format!("{:?}: found {a:?}, wanted {b:?}", String::from_utf8_lossy(name)));
        }
    }
    assert!(differences.is_empty(), "{}\n{about}", differences.join("\n"));
}

/// git on the host, with nobody's settings.
pub fn git(at: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
        .args(["-c", "init.defaultBranch=main", "-c", "core.autocrlf=false"])
        .args(arguments)
        .current_dir(at)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CEILING_DIRECTORIES", at.parent().unwrap())
        .stdin(Stdio::null());
    command
}

#[track_caller]
pub fn git_ok(at: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = git(at, arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", said(&output));
    output.stdout
}

pub fn said(output: &Output) -> String {
    format!(
        "{:?}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Applies a patch to a tree of its own.
#[track_caller]
pub fn apply(tree: &Tree, patch: &str, about: &dyn fmt::Display) -> Tree {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let root = folder.path().join("tree");
    write(&root, tree);
    if !patch.is_empty() {
        let file = folder.path().join("patch");
        fs::write(&file, patch).unwrap();
        let output = git(&root, &["apply", "--whitespace=nowarn", "--binary"]).arg(&file).output();
        let output = output.unwrap();
        assert!(output.status.success(), "git apply: {}\n{patch}\n{about}", said(&output));
    }
    read(&root)
}

impl Home {
    /// What a workspace holds, by way of an export.
    #[track_caller]
    pub fn tree(&self, workspace: &str) -> Tree {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let output = folder.path().join("out");
        let reply = self.ok(
            "workspace_export",
            json!({ "workspace": workspace, "path": ".", "output": output }),
        );
        // Repositories' own files never come out; nothing else may be missing.
        let told = reply["notices"].as_array().into_iter().flatten().filter_map(Value::as_str);
        assert_eq!(told.filter(|told| !told.starts_with("`.git`")).count(), 0, "{reply}");
        read(&output)
    }

    /// The whole patch, put together from its parts.
    #[track_caller]
    pub fn patch(&self, workspace: &str, from: &str) -> String {
        let mut patch = String::new();
        loop {
            let reply = self.ok(
                "workspace_diff",
                json!({ "workspace": workspace, "from": from, "offset": patch.len() }),
            );
            let characters = reply.to_string().chars().count();
            assert!(characters <= 20_000, "a reply of {characters} characters");
            patch.push_str(reply["patch"].as_str().unwrap());
            match reply["next_offset"].as_u64() {
                Some(next) => assert_eq!(next, patch.len() as u64),
                None => {
                    assert_eq!(reply["patch_bytes"], patch.len());
                    return patch;
                }
            }
        }
    }
}
