//! The promise of the diff, on random projects and random work in them: `git apply` of the patch
//! on what was seeded gives exactly the workspace, and reset gives back exactly what was seeded.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fmt::Write,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestCaseError};
use serde_json::json;

use super::support::{
    Home,
    tree::{self, Entry, Tree, apply, assert_same, git, git_ok},
};

/// Names that get in each other's way: a file in one step is a directory in the next.
const PATHS: &[&str] = &[
    "a",
    "a/b",
    "a/b/c",
    "b.txt",
    "dir/one",
    "dir/two words",
    "dir/sub/deep/er",
    "dir/sub",
    "dir/.hidden",
    "src/main.rs",
    "src",
    "unïcode/ö 😀",
    "quo\"te'd",
    "tab\tbed",
    "two\nlines",
    "back\\slash",
    "-dash",
    "trailing ",
    "b/x",
    "kept.log",
    "logs/kept.log",
    "build",
    "build/out",
    "dir/.gitignore",
];

/// What is ignored unless it is tracked.
const IGNORED: &[&str] = &["noise.log", "build/made", "dir/scratch~"];
const RULES: &str = "*.log\nbuild/\n*~\n";

#[derive(Debug, Clone)]
enum Content {
    Empty,
    Lines(Vec<u8>, bool),
    Crlf(u8),
    Binary(u8),
    NotText(u8),
    LateNul,
    Long(u8),
}

impl Content {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Lines(lines, ends) => {
                let mut text: String =
                    lines.iter().map(|line| format!("line {}\n", line % 12)).collect();
                if !ends {
                    text.pop();
                }
                text.into_bytes()
            }
            Self::Crlf(n) => format!("eins\r\nzwei {n}\r\nähm\rdrei\r\n").into_bytes(),
            Self::Binary(n) => (0..300).map(|i: u32| (i * u32::from(*n)) as u8).collect(),
            Self::NotText(n) => vec![b'a', 0xff, 0xfe, *n, b'\n'],
            Self::LateNul => [&[b'x'; 9_000][..], b"\0 late\n"].concat(),
            Self::Long(n) => (0..3_000)
                .map(|line| match line % (50 + u32::from(*n)) {
                    0 => format!("changed {n}\n"),
                    _ => format!("{line}\n"),
                })
                .collect::<String>()
                .into_bytes(),
        }
    }
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        1 => Just(Content::Empty),
        6 => (vec(any::<u8>(), 1..30), any::<bool>()).prop_map(|(l, e)| Content::Lines(l, e)),
        1 => any::<u8>().prop_map(Content::Crlf),
        2 => any::<u8>().prop_map(Content::Binary),
        1 => any::<u8>().prop_map(Content::NotText),
        1 => Just(Content::LateNul),
        1 => any::<u8>().prop_map(Content::Long),
    ]
}

fn path() -> impl Strategy<Value = &'static str> {
    select(PATHS)
}

#[derive(Debug, Clone)]
enum Seeded {
    File(&'static str, Content, bool),
    Link(&'static str, &'static str),
}

fn seeded() -> impl Strategy<Value = Vec<Seeded>> {
    let one = prop_oneof![
        8 => (path(), content(), any::<bool>()).prop_map(|(p, c, x)| Seeded::File(p, c, x)),
        1 => (path(), path()).prop_map(|(p, to)| Seeded::Link(p, to)),
    ];
    vec(one, 0..14)
}

#[derive(Debug, Clone)]
enum Step {
    Write(&'static str, Content, bool),
    Append(&'static str),
    Remove(&'static str),
    Move(&'static str, &'static str),
    Copy(&'static str, &'static str),
    HardLink(&'static str, &'static str),
    Link(&'static str, &'static str),
    Chmod(&'static str),
    Touch(&'static str),
    Again(&'static str),
    Pipe(&'static str),
    Ignored(&'static str),
    Git(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let git = select(
        &[
            "add -A",
            "commit -qam work",
            "stash -q",
            "stash pop -q",
            "checkout -q -- .",
            "reset -q --hard",
            "checkout -q HEAD~1",
            "rm -rqf dir",
            "clean -qfd",
            "mv b.txt moved.txt",
            "gc -q",
        ][..],
    );
    let step = prop_oneof![
        5 => (path(), content(), any::<bool>()).prop_map(|(p, c, x)| Step::Write(p, c, x)),
        2 => path().prop_map(Step::Append),
        4 => path().prop_map(Step::Remove),
        3 => (path(), path()).prop_map(|(a, b)| Step::Move(a, b)),
        1 => (path(), path()).prop_map(|(a, b)| Step::Copy(a, b)),
        1 => (path(), path()).prop_map(|(a, b)| Step::HardLink(a, b)),
        1 => (path(), path()).prop_map(|(a, b)| Step::Link(a, b)),
        2 => path().prop_map(Step::Chmod),
        1 => path().prop_map(Step::Touch),
        2 => path().prop_map(Step::Again),
        1 => path().prop_map(Step::Pipe),
        1 => select(IGNORED).prop_map(Step::Ignored),
        3 => git.prop_map(Step::Git),
    ];
    vec(step, 1..14)
}

fn quoted(path: &str) -> String {
    format!("'./{}'", path.replace('\'', "'\\''"))
}

/// A link that stays in the tree, read as text: up to the top, then down.
fn target(link: &str, to: &str) -> String {
    let up = "../".repeat(link.matches('/').count());
    format!("{up}{to}")
}

/// The steps as a script, of which each line may fail.
fn script(steps: &[Step]) -> String {
    // `room P` makes the directories above P, whatever stands in their way.
    let mut script = String::from(
        "room() { local at=. part; local IFS=/; set -f; \
         for part in ${1%/*}; do at=$at/$part; \
         if [ -L \"$at\" ] || { [ -e \"$at\" ] && [ ! -d \"$at\" ]; }; then rm -f \"$at\"; fi; \
         done; set +f; mkdir -p \"${1%/*}\"; }\n\
         fresh() { room \"$1\"; rm -rf \"$1\"; }\n",
    );
    for step in steps {
        let _ = match step {
            Step::Write(path, content, executable) => {
                let path = quoted(path);
                let mut octal = String::new();
                for byte in content.bytes() {
                    let _ = write!(octal, "\\{byte:03o}");
                }
                let mode = if *executable { "+x" } else { "-x" };
                writeln!(script, "fresh {path}; printf '{octal}' > {path}; chmod {mode} {path}")
            }
            Step::Append(path) => {
                // Opening a pipe would wait for a reader.
                let path = quoted(path);
                writeln!(script, "[ -p {path} ] || echo more >> {path}")
            }
            Step::Remove(path) => writeln!(script, "rm -rf {}", quoted(path)),
            Step::Move(a, b) => {
                let (a, b) = (quoted(a), quoted(b));
                writeln!(script, "mv {a} .moving && {{ fresh {b}; mv .moving {b}; }}")
            }
            Step::Copy(a, b) => {
                let (a, b) = (quoted(a), quoted(b));
                writeln!(script, "cp -a {a} .moving && {{ fresh {b}; mv .moving {b}; }}")
            }
            Step::HardLink(a, b) => {
                let (a, b) = (quoted(a), quoted(b));
                writeln!(
                    script,
                    "ln {a} .moving && {{ fresh {b}; mv .moving {b}; rm -f .moving; }}"
                )
            }
            Step::Link(path, to) => {
                let to = target(path, to).replace('\'', "'\\''");
                let path = quoted(path);
                writeln!(script, "fresh {path}; ln -s '{to}' {path}")
            }
            Step::Chmod(path) => {
                let path = quoted(path);
                writeln!(
                    script,
                    "if [ -x {path} ]; then chmod -R a-x,u+X {path}; else chmod 755 {path}; fi"
                )
            }
            Step::Touch(path) => {
                let path = quoted(path);
                writeln!(script, "[ -e {path} ] && touch {path}")
            }
            // Made anew as it was: nothing has changed, but the directory is opaque.
            Step::Again(path) => {
                let path = quoted(path);
                writeln!(script, "cp -a {path} .again && rm -rf {path} && mv .again {path}")
            }
            Step::Pipe(path) => {
                let path = quoted(path);
                writeln!(script, "fresh {path}; mkfifo {path}")
            }
            Step::Ignored(path) => {
                let path = quoted(path);
                writeln!(
                    script,
                    "[ -e {path} ] || {{ mkdir -p $(dirname {path}) && echo noise > {path}; }}"
                )
            }
            Step::Git(arguments) => writeln!(script, "timeout 20 git {arguments}"),
        };
    }
    // A link that was moved may lead out by now: no export holds it.
    script.push_str(
        "find . -path ./.git -prune -o -type l -print0 | while IFS= read -r -d '' link; do \
         up=$(readlink \"$link\"); ups=0; while [[ $up == ../* ]]; do up=${up#../}; ups=$((ups + 1)); done; \
         at=${link//[!\\/]/}; [ $ups -lt ${#at} ] || rm -f \"$link\"; done\n",
    );
    // What no diff holds: sockets and pipes.
    script.push_str("find . -path ./.git -prune -o -type p -exec rm {} +\nrm -rf .moving .again\n");
    script.push_str(
        "find . -path ./.git -prune -o -type d ! -perm -700 -exec chmod 755 {} +\ntrue\n",
    );
    format!("exec 2>/dev/null\n{script}")
}

/// A project on disk; its work tree without what is ignored is the seed.
struct Project {
    root: PathBuf,
    git: bool,
}

fn put(root: &Path, files: &[Seeded]) {
    for file in files {
        let (Seeded::File(path, ..) | Seeded::Link(path, _)) = file;
        let at = root.join(path);
        if at.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
            continue;
        }
        let above = at.parent().unwrap();
        // A link above would lead elsewhere.
        let clear = above
            .ancestors()
            .take_while(|dir| dir != &root)
            .all(|dir| dir.symlink_metadata().map_or(true, |facts| facts.is_dir()));
        if !clear || fs::create_dir_all(above).is_err() {
            continue;
        }
        let _ = fs::remove_file(&at);
        match file {
            Seeded::File(_, content, executable) => {
                let entry = Entry::File { content: content.bytes(), executable: *executable };
                tree::write(root, &Tree::from([(path.as_bytes().to_vec(), entry)]));
            }
            Seeded::Link(_, to) => {
                std::os::unix::fs::symlink(target(path, to), &at).unwrap();
            }
        }
    }
}

impl Project {
    /// Two commits, staged work, dirty files, untracked and ignored ones.
    fn repo(root: &Path, first: &[Seeded], second: &[Seeded], dirty: &[Seeded]) -> Self {
        fs::create_dir_all(root).unwrap();
        git_ok(root, &["init", "-q"]);
        fs::write(root.join(".gitignore"), RULES).unwrap();
        put(root, first);
        // Also what the rules ignore: tracked is tracked.
        git_ok(root, &["add", "-Af", "."]);
        git_ok(root, &["commit", "-qm", "first", "--allow-empty"]);
        put(root, second);
        git_ok(root, &["add", "-A", "."]);
        git_ok(root, &["commit", "-qm", "second", "--allow-empty"]);
        put(root, dirty);
        for path in IGNORED {
            let at = root.join(path);
            if at.parent().unwrap().is_dir() {
                let _ = fs::write(at, "ignored\n");
            }
        }
        Self { root: root.to_owned(), git: true }
    }

    /// Which of these the project ignores, by Git's own word: tracked paths are never ignored.
    fn ignored(&self, paths: &BTreeSet<Vec<u8>>) -> BTreeSet<Vec<u8>> {
        if !self.git || paths.is_empty() {
            return BTreeSet::new();
        }
        // Only the rules, so that no link of the project stands in the way of the question.
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let mut rules = self.tree();
        rules.retain(|path, entry| {
            path.ends_with(b".gitignore") && matches!(entry, Entry::File { .. })
        });
        tree::write(folder.path(), &rules);
        let work = format!("--work-tree={}", folder.path().display());
        let repository = format!("--git-dir={}", self.root.join(".git").display());
        let mut child = git(folder.path(), &[&work, &repository, "check-ignore", "--stdin", "-z"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = Vec::new();
        for path in paths {
            input.extend_from_slice(path);
            input.push(0);
        }
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.code() < Some(2), "{}", tree::said(&output));
        output.stdout.split(|b| *b == 0).filter(|p| !p.is_empty()).map(<[u8]>::to_vec).collect()
    }

    /// What must have been seeded.
    fn tree(&self) -> Tree {
        let mut found = tree::read(&self.root);
        if self.git {
            let listed = git_ok(
                &self.root,
                &["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            );
            let listed: BTreeSet<&[u8]> = listed.split(|b| *b == 0).collect();
            found.retain(|path, _| listed.contains(path.as_slice()));
        }
        found
    }

    fn head(&self) -> Tree {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let index = folder.path().join("index");
        let into = folder.path().join("head");
        fs::create_dir(&into).unwrap();
        let work = format!("--work-tree={}", into.display());
        let output = git(&self.root, &[&work, "read-tree", "HEAD"])
            .env("GIT_INDEX_FILE", &index)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", tree::said(&output));
        let output = git(&self.root, &[&work, "checkout-index", "-a"])
            .env("GIT_INDEX_FILE", &index)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", tree::said(&output));
        tree::read(&into)
    }
}

/// Links that an export would leave out are in no comparison.
fn safe(tree: &Tree) -> bool {
    tree.values().all(|entry| !matches!(entry, Entry::Link(to) if to.as_os_str().is_empty()))
}

fn check(home: &Home, project: &Project, seed: &Path, steps: &[Step]) {
    let about = format!("{project_git} {steps:?}", project_git = project.git);
    let workspace = home.create(seed);
    let seeded = project.tree();
    assert_same(&home.tree(&workspace), &seeded, &format!("as seeded; {about}"));
    assert_eq!(home.patch(&workspace, "baseline"), "", "{about}");

    home.script(&workspace, &script(steps));
    let mut now = home.tree(&workspace);
    assert!(safe(&now));
    // What the baseline ignores is in no diff, unless the seed has it.
    let fresh = now.keys().filter(|path| !seeded.contains_key(*path)).cloned().collect();
    for path in project.ignored(&fresh) {
        now.remove(&path);
    }
    let patch = home.patch(&workspace, "baseline");
    assert_same(&apply(&seeded, &patch, &about), &now, &format!("{patch}\n{about}"));
    let reply = home.ok("workspace_diff", json!({ "workspace": workspace, "stat": true }));
    assert_eq!(reply["patch_bytes"], patch.len());
    let rows = reply["files"].as_array().unwrap();
    for row in rows.iter().filter(|row| row["change"] == "renamed") {
        assert!(patch.contains("rename to "), "{row}");
    }
    let counted: u64 = ["created", "modified", "deleted", "renamed"]
        .iter()
        .map(|kind| reply[kind].as_u64().unwrap())
        .sum();
    assert_eq!(counted, rows.len() as u64, "{reply}");

    if project.git {
        let patch = home.patch(&workspace, "head");
        assert_same(
            &apply(&project.head(), &patch, &about),
            &now,
            &format!("from head\n{patch}\n{about}"),
        );
    }

    home.ok("workspace_reset", json!({ "workspace": workspace }));
    assert_same(&home.tree(&workspace), &seeded, &format!("after reset; {about}"));
    assert_eq!(home.patch(&workspace, "baseline"), "", "{about}");
    home.delete(&workspace);
}

fn cases(number: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(number),
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[test]
fn the_patch_of_a_checkout_makes_the_workspace_out_of_the_seed() {
    let home = Home::new();
    let strategy = (seeded(), seeded(), seeded(), steps());
    proptest!(cases(40), |((first, second, dirty, steps) in strategy)| {
        let folder = tempfile::tempdir_in(home.folder.path()).unwrap();
        let root = folder.path().join("project");
        let project = Project::repo(&root, &first, &second, &dirty);
        quietly(|| check(&home, &project, &root, &steps))?;
    });
}

#[test]
fn the_patch_of_a_directory_or_archive_does_so_too() {
    let home = Home::new();
    let strategy = (seeded(), steps(), any::<bool>());
    proptest!(cases(16), |((files, steps, packed) in strategy)| {
        let folder = tempfile::tempdir_in(home.folder.path()).unwrap();
        let root = folder.path().join("project");
        fs::create_dir(&root).unwrap();
        put(&root, &files);
        let project = Project { root: root.clone(), git: false };
        let seed = if packed {
            let archive = folder.path().join("project.tar");
            let made = std::process::Command::new("tar")
                .arg("-cf").arg(&archive).arg("-C").arg(&root).arg(".")
                .status().unwrap();
            assert!(made.success());
            archive
        } else {
            root
        };
        quietly(|| check(&home, &project, &seed, &steps))?;
    });
}

/// A failed assertion as a failed case, so that it is made smaller.
fn quietly(case: impl FnOnce()) -> Result<(), TestCaseError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(case)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        TestCaseError::fail(text.unwrap_or_default())
    })
}

/// What the rules ignore by its kind, in place of what they do not.
#[test]
fn something_ignored_in_place_of_a_tracked_path() {
    let home = Home::new();
    let root = home.path("project");
    let line = || Content::Lines(vec![1], true);
    let files = [
        Seeded::File("build", line(), false),
        Seeded::File("logs/kept.log", line(), false),
        Seeded::File("a/b", line(), false),
    ];
    let project = Project::repo(&root, &files, &[], &[]);
    // A directory with a name that only ignored files have.
    fs::create_dir(root.join("dir.log")).unwrap();
    fs::write(root.join("dir.log/tracked"), "one\n").unwrap();
    git_ok(&root, &["add", "-f", "dir.log/tracked"]);
    let workspace = home.create(&root);
    home.script(
        &workspace,
        "set -e; rm build; mkdir build; echo new > build/out\n\
         rm -r dir.log; echo noise > dir.log\n\
         rm logs/kept.log; mkdir logs/kept.log; echo noise > logs/kept.log/in",
    );
    let reply = home.ok("workspace_diff", json!({ "workspace": workspace, "stat": true }));
    let told: Vec<&str> = reply["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["path"].as_str().unwrap())
        .collect();
    assert_eq!(told[..2], ["build", "dir.log/tracked"], "{reply}");
    assert_eq!(reply["deleted"], told.len(), "{reply}");
    let now = apply(&project.tree(), &home.patch(&workspace, "baseline"), &"");
    assert!(!now.contains_key(&b"build"[..]) && !now.contains_key(&b"dir.log/tracked"[..]));
}

/// One fixed story with every kind of change, so that no run is without them.
#[test]
fn every_kind_of_change_is_told_and_comes_back() {
    let home = Home::new();
    let root = home.path("project");
    let lines = |n: u8| Content::Lines((0..n).collect(), true);
    let files = [
        Seeded::File("b.txt", lines(30), false),
        Seeded::File("a/b/c", lines(3), false),
        Seeded::File("dir/one", Content::Binary(3), false),
        Seeded::File("dir/two words", lines(5), false),
        Seeded::File("src/main.rs", lines(9), true),
        Seeded::File("quo\"te'd", lines(4), false),
        Seeded::File("kept.log", lines(2), false),
        Seeded::File("build/out", lines(6), false),
        Seeded::Link("unïcode/ö 😀", "b.txt"),
        Seeded::File("-dash", Content::Empty, false),
    ];
    let project = Project::repo(&root, &files, &[], &[Seeded::File("b.txt", lines(28), false)]);
    let workspace = home.create(&root);
    home.script(
        &workspace,
        "set -e\n\
         sed -i 's/line 3/LINE 3/' b.txt\n\
         rm -rf a; echo now a file > a\n\
         printf 'x\\0y' > dir/one; mv 'dir/two words' 'moved away'\n\
         chmod -x src/main.rs\n\
         rm 'quo\"te'\"'\"'d'; mkdir 'quo\"te'\"'\"'d'; echo in > 'quo\"te'\"'\"'d/in'\n\
         echo more >> kept.log; rm build/out; echo new > other.log\n\
         ln -sfn ../a 'unïcode/ö 😀'\n\
         touch empty; rm ./-dash\n",
    );
    let reply = home.ok("workspace_diff", json!({ "workspace": workspace, "stat": true }));
    let told: Vec<(String, String)> = reply["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            (text("path"), text("change"))
        })
        .collect();
    let wanted = [
        ("-dash", "deleted"),
        ("a", "created"),
        ("a/b/c", "deleted"),
        ("b.txt", "modified"),
        ("build/out", "deleted"),
        ("dir/one", "modified"),
        ("empty", "created"),
        ("kept.log", "modified"),
        ("moved away", "renamed"),
        ("quo\"te'd", "deleted"),
        ("quo\"te'd/in", "created"),
        ("src/main.rs", "mode"),
        ("unïcode/ö 😀", "modified"),
    ];
    let wanted: Vec<(String, String)> =
        wanted.iter().map(|(path, kind)| ((*path).to_owned(), (*kind).to_owned())).collect();
    assert_eq!(told, wanted, "{reply}");
    assert_eq!(reply["ignored"], 1, "other.log: {reply}");
    let mut now = home.tree(&workspace);
    now.remove(&b"other.log"[..]);
    let patch = home.patch(&workspace, "baseline");
    assert_same(&apply(&project.tree(), &patch, &""), &now, &patch);
    let from_head = home.patch(&workspace, "head");
    assert_same(&apply(&project.head(), &from_head, &""), &now, &from_head);
    // A part of it by paths.
    let reply = home.ok(
        "workspace_diff",
        json!({ "workspace": workspace, "paths": ["dir", "a"], "stat": true }),
    );
    assert_eq!(reply["files"].as_array().unwrap().len(), 4, "{reply}");
    // The host's checkout is as it was.
    assert_eq!(fs::read(root.join(OsStr::from_bytes(b"kept.log"))).unwrap(), lines(2).bytes());
}
