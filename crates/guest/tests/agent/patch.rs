//! Patches through the agent: what git writes gives what git gives, a conflict touches nothing, and
//! an agent that is killed in the middle leaves all of it or nothing.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use pyro_machine::{Guest, GuestError};
use pyro_model::ChangeKind;
use pyro_protocol::{GuestMessage, HostMessage, message::RefusalKind, patch::Patched};

use crate::support::*;

fn send(guest: &mut Guest, text: &str) -> GuestMessage {
    let patch = pyro_patch::read(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    match guest.ask(HostMessage::Patch(patch), PATIENCE, None) {
        Err(GuestError::Refused(refusal)) => GuestMessage::Failed(refusal),
        answer => answer.unwrap(),
    }
}

fn patched(guest: &mut Guest, text: &str) -> Patched {
    match send(guest, text) {
        GuestMessage::Patched(patched) => patched,
        other => panic!("{other:?} to\n{text}"),
    }
}

/// Every path below with its type, executable bit and content.
fn tree(root: &Path) -> BTreeMap<String, (char, bool, Vec<u8>)> {
    fn walk(root: &Path, at: &Path, into: &mut BTreeMap<String, (char, bool, Vec<u8>)>) {
        for entry in fs::read_dir(at).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if name == ".git" {
                continue;
            }
            if kind.is_dir() {
                walk(root, &path, into);
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes();
                into.insert(name, ('l', false, target));
            } else {
                let bit = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
                into.insert(name, ('f', bit, fs::read(&path).unwrap()));
            }
        }
    }
    let mut into = BTreeMap::new();
    walk(root, root, &mut into);
    into
}

fn git(at: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.autocrlf=false"])
        .args(arguments)
        .current_dir(at)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn files_come_go_move_and_change_in_one_patch() {
    let agent = Agent::start();
    let at = |name: &str| agent.path("workspace").join(name);
    fs::create_dir_all(at("src/old")).unwrap();
    fs::write(at("src/old/gone.rs"), "g\n").unwrap();
    fs::write(at("a.rs"), "one\ntwo\nthree\n").unwrap();
    fs::write(at("run"), "x\n").unwrap();
    fs::set_permissions(at("a.rs"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("a.rs", at("link")).unwrap();
    let mut guest = agent.connect();
    let text = "diff --git a/a.rs b/b/c.rs\nrename from a.rs\nrename to b/c.rs\n--- a/a.rs\n+++ b/b/c.rs\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n\
                diff --git a/run b/run\nold mode 100644\nnew mode 100755\n\
                diff --git a/src/old/gone.rs b/src/old/gone.rs\ndeleted file mode 100644\n--- a/src/old/gone.rs\n+++ /dev/null\n@@ -1 +0,0 @@\n-g\n\
                diff --git a/deep/er/new b/deep/er/new\nnew file mode 100644\n--- /dev/null\n+++ b/deep/er/new\n@@ -0,0 +1 @@\n+n\n\\ No newline at end of file\n\
                diff --git a/link b/link\nindex 1..2 120000\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-a.rs\n\\ No newline at end of file\n+b/c.rs\n\\ No newline at end of file\n";
    let told = patched(&mut guest, text).files;
    let told: Vec<_> =
        told.iter().map(|f| (f.path.as_str(), f.change, f.from.as_deref(), f.bytes)).collect();
    assert_eq!(
        told,
        [
            ("b/c.rs", ChangeKind::Renamed, Some("a.rs"), Some(12)),
            ("run", ChangeKind::Mode, None, Some(2)),
            ("src/old/gone.rs", ChangeKind::Deleted, None, None),
            ("deep/er/new", ChangeKind::Created, None, Some(1)),
            ("link", ChangeKind::Modified, None, Some(6)),
        ]
    );
    let found = tree(&agent.path("workspace"));
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["b/c.rs", "deep/er/new", "link", "run"]);
    assert_eq!(found["b/c.rs"].2, b"one\n2\nthree\n");
    assert_eq!(fs::metadata(at("b/c.rs")).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!((found["deep/er/new"].2.as_slice(), found["run"].1), (&b"n"[..], true));
    assert_eq!(found["link"], ('l', false, b"b/c.rs".to_vec()));
    assert!(!at("src").exists(), "directories that nothing is left in are gone");
    // The same file in two sections; a later one builds on an earlier.
    let twice = "*** Begin Patch\n*** Update File: run\n-x\n+y\n*** Update File: run\n y\n+z\n*** End Patch\n";
    assert_eq!(patched(&mut guest, twice).files.len(), 1);
    assert_eq!(fs::read(at("run")).unwrap(), b"y\nz\n");
    // What changes nothing is fine, and said so.
    assert!(patched(&mut guest, "--- a/run\n+++ b/run\n@@ -1 +1 @@\n-y\n+y\n").files.is_empty());
}

#[test]
fn a_conflict_or_a_refusal_touches_nothing() {
    let agent = Agent::with(&Options { lowers: 1, overlay: false, ..Options::default() });
    let at = |name: &str| agent.path("workspace").join(name);
    fs::write(at("a"), "one\ntwo\n").unwrap();
    fs::write(at("c"), "x\r\ny\r\n").unwrap();
    fs::create_dir(at("d")).unwrap();
    fs::write(at("big"), vec![b'a'; 9 << 20]).unwrap();
    symlink("/etc", at("out")).unwrap();
    symlink("a", at("link")).unwrap();
    let before = tree(&agent.path("workspace"));
    let mut guest = agent.connect();
    let first =
        "--- a/c\n+++ b/c\n@@ -1 +1 @@\n-x\n+X\n--- /dev/null\n+++ b/new/one\n@@ -0,0 +1 @@\n+n\n";
    let conflicts = [
        ("--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n one\n-too\n+2\n", 1, "one\ntoo", "one\ntwo"),
        ("--- a/a\n+++ b/a\n@@ -1 +1 @@\n-one\n+1\n@@ -5 +5 @@\n-six\n+6\n", 2, "six", ""),
        ("--- a/nothing\n+++ b/nothing\n@@ -1 +1 @@\n-x\n+y\n", 0, "", ""),
        ("--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+x\n", 0, "", ""),
        ("--- a/a\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n", 0, "", ""),
        ("diff --git a/a b/c\nrename from a\nrename to c\n", 0, "", ""),
        (
            "diff --git a/a b/a\nGIT binary patch\ndelta 11\nTcmZ3(w1#QIG{%UD)29Le8SVs`\n\n",
            0,
            "",
            "",
        ),
    ];
    for (text, hunk, expected, found) in conflicts {
        match send(&mut guest, &format!("{first}{text}")) {
            GuestMessage::PatchConflict(conflict) => {
                assert_eq!(conflict.hunk, hunk, "{conflict:?}");
                assert_eq!(conflict.expected, expected);
                assert!(hunk == 2 || conflict.found == found, "{conflict:?}");
            }
            other => panic!("{other:?} to {text}"),
        }
        assert_eq!(tree(&agent.path("workspace")), before, "{text}");
    }
    let refusals = [
        ("--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-x\n+y\n", RefusalKind::PathEscapes),
        ("--- a/out/passwd\n+++ b/out/passwd\n@@ -1 +1 @@\n-x\n+y\n", RefusalKind::PathEscapes),
        ("--- /dev/null\n+++ b/out/new\n@@ -0,0 +1 @@\n+x\n", RefusalKind::PathEscapes),
        ("--- /dev/null\n+++ b//etc/new\n@@ -0,0 +1 @@\n+x\n", RefusalKind::PathEscapes),
        ("--- a/d\n+++ b/d\n@@ -1 +1 @@\n-x\n+y\n", RefusalKind::WrongType),
        ("--- /dev/null\n+++ b/a/x\n@@ -0,0 +1 @@\n+x\n", RefusalKind::WrongType),
        ("--- a/big\n+++ b/big\n@@ -1 +1 @@\n-x\n+y\n", RefusalKind::TooLarge),
        (
            "--- /dev/null\n+++ b/e\n@@ -0,0 +1 @@\n+x\n--- /dev/null\n+++ b/e/f\n@@ -0,0 +1 @@\n+x\n",
            RefusalKind::WrongType,
        ),
    ];
    for (text, kind) in refusals {
        match send(&mut guest, &format!("{first}{text}")) {
            GuestMessage::Failed(refusal) => assert_eq!(refusal.kind, kind, "{refusal:?}"),
            other => panic!("{other:?} to {text}"),
        }
        assert_eq!(tree(&agent.path("workspace")), before, "{text}");
    }
    // A link is patched as a link: its text is where it points.
    let link =
        "diff --git a/link b/link\n--- a/link\n+++ b/link\n@@ -1,2 +1,2 @@\n-one\n+1\n two\n";
    assert!(matches!(send(&mut guest, link), GuestMessage::PatchConflict(_)));
    assert!(patched(&mut guest, first).files.len() == 2);
    assert_eq!(fs::read(at("c")).unwrap(), b"X\r\ny\r\n");
}

/// A small generator, so that a failing case has a number.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn line(&mut self) -> String {
        let words = ["a", "b", "", "-- x", "++ y", "@@ z", "é", "--- a/f", "tab\t", " sp ", "\r"];
        words[self.below(words.len())].to_owned()
    }

    fn text(&mut self) -> Vec<u8> {
        let mut text = (0..self.below(30)).map(|_| self.line()).collect::<Vec<_>>().join("\n");
        if self.below(4) > 0 {
            text.push('\n');
        }
        match self.below(12) {
            0 => vec![0, 1, 2, 255, u8::try_from(self.below(250)).unwrap()],
            _ => text.into_bytes(),
        }
    }

    /// Changes some of a tree.
    fn change(&mut self, root: &Path) {
        let names = ["f", "g h", "d/x", "d/e/y", "d/e/z", "é", "run"];
        for _ in 0..1 + self.below(6) {
            let path = root.join(names[self.below(names.len())]);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let there = fs::symlink_metadata(&path);
            match (self.below(6), there.is_ok()) {
                (0, true) => fs::remove_file(&path).unwrap(),
                (1, true) => {
                    let to = root.join(names[self.below(names.len())]);
                    fs::create_dir_all(to.parent().unwrap()).unwrap();
                    let _ = fs::rename(&path, to);
                }
                (2, _) => {
                    let _ = fs::remove_file(&path);
                    symlink(["f", "../out", "d"][self.below(3)], &path).unwrap();
                }
                (3, true) if there.as_ref().unwrap().is_file() => {
                    let mode = if self.below(2) == 0 { 0o755 } else { 0o644 };
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                }
                (4, true) if there.as_ref().unwrap().is_file() => {
                    let text = fs::read(&path).unwrap();
                    let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
                    let new = self.line();
                    lines.insert(self.below(lines.len()), new.as_bytes());
                    fs::write(&path, lines.join(&b'\n')).unwrap();
                }
                _ => {
                    let _ = fs::remove_file(&path);
                    let text = self.text();
                    fs::write(&path, text).unwrap();
                }
            }
        }
    }
}

#[test]
fn what_git_writes_gives_what_git_gives() {
    for case in 0..30 {
        let mut random = Random(case * 7_919 + 1);
        let agent = Agent::with(&Options { lowers: 1, ..Options::default() });
        let work = tempfile::tempdir().unwrap();
        git(work.path(), &["init", "-q"]);
        random.change(work.path());
        git(work.path(), &["add", "-A"]);
        git(work.path(), &["commit", "-qm", "one", "--allow-empty"]);
        for (name, (kind, bit, content)) in tree(work.path()) {
            let at = agent.path("workspace").join(name);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            if kind == 'l' {
                symlink(String::from_utf8(content).unwrap(), &at).unwrap();
            } else {
                fs::write(&at, content).unwrap();
                let mode = if bit { 0o755 } else { 0o644 };
                fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        random.change(work.path());
        git(work.path(), &["add", "-A"]);
        let context = format!("-U{}", random.below(4));
        let renames = if random.below(2) == 0 { "-M" } else { "--no-renames" };
        let text = git(work.path(), &["diff", "--cached", "--binary", renames, &context]);
        let mut guest = agent.connect();
        if !text.is_empty() {
            match send(&mut guest, &text) {
                GuestMessage::Patched(_) => {}
                other => panic!("case {case}: {other:?} to\n{text}"),
            }
        }
        assert_eq!(tree(&agent.path("workspace")), tree(work.path()), "case {case}:\n{text}");
    }
}

#[test]
fn an_agent_that_is_killed_leaves_all_or_nothing() {
    const FILES: usize = 150;
    let options = Options { lowers: 1, overlay: true, ..Options::default() };
    let mut seen = [0, 0];
    for round in 0_u64..24 {
        let folder = tempfile::tempdir().unwrap();
        for name in ["workspace", "spool", "upper"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for number in 0..FILES {
            let at = folder.path().join(format!("lower0/d{}/f{number}", number % 7));
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, format!("old {number}\n")).unwrap();
        }
        let mut agent = Agent::over(folder, &options);
        let mut guest = agent.connect();
        let mut text = String::new();
        for number in 0..FILES {
            let name = format!("d{}/f{number}", number % 7);
            match number % 3 {
                0 => text.push_str(&format!(
                    "--- a/{name}\n+++ /dev/null\n@@ -1 +0,0 @@\n-old {number}\n"
                )),
                1 => text.push_str(&format!(
                    "--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-old {number}\n+new {number}\n"
                )),
                _ => text.push_str(&format!(
                    "--- /dev/null\n+++ b/made/{number}/x\n@@ -0,0 +1 @@\n+made\n"
                )),
            }
        }
        let patch = pyro_patch::read(&text).unwrap();
        let call = guest.send(HostMessage::Patch(patch)).unwrap();
        // Some while it writes, some right after it has committed.
        let mark = if round % 2 == 0 { "patch.draft" } else { "patch.committed" };
        // It may be over before it is seen.
        let until = Instant::now() + Duration::from_secs(1);
        while !agent.path(mark).exists() && Instant::now() < until {
            std::hint::spin_loop();
        }
        std::thread::sleep(Duration::from_micros(round / 2 * 150));
        agent.child.kill().unwrap();
        agent.child.wait().unwrap();
        let _ = guest.receive(call, None, None);
        let folder = std::mem::replace(&mut agent.folder, tempfile::tempdir().unwrap());
        let again = Agent::over(folder, &options);
        let mut guest = again.connect();
        let line = "printf 'old '; grep -rl old . | wc -l; printf 'new '; grep -rlE 'new|made' . | wc -l; \
                    printf 'dirs '; ls -d made 2>/dev/null | wc -l; find . -name '.pyro*' | wc -l";
        let said = run(&mut guest, shell(line));
        let words: Vec<usize> =
            said.text().split_whitespace().filter_map(|w| w.parse().ok()).collect();
        let untouched = vec![FILES, 0, 0, 0];
        // A third stays as it is.
        let applied = vec![FILES / 3, 2 * FILES / 3, 1, 0];
        assert!(words == untouched || words == applied, "round {round}: {}", said.text());
        seen[usize::from(words == applied)] += 1;
        assert!(!again.path("patch.draft").exists() && !again.path("patch.committed").exists());
    }
    assert!(seen[0] > 0 && seen[1] > 0, "the kills were all too early or too late: {seen:?}");
}
