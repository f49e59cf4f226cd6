//! Patches as they are really written.

use proptest::prelude::*;
use pyro_protocol::patch::{Action, Body, FilePatch, Hunk, LineKind};

use crate::read;

fn files(text: &str) -> Vec<FilePatch> {
    read(text).unwrap_or_else(|error| panic!("{error} in:\n{text}")).files
}

fn only(text: &str) -> FilePatch {
    let mut files = files(text);
    assert_eq!(files.len(), 1, "{files:#?}");
    files.remove(0)
}

fn hunks(file: &FilePatch) -> &[Hunk] {
    match &file.body {
        Body::Hunks(hunks) => hunks,
        other => panic!("{other:?}"),
    }
}

/// The lines of a hunk as a patch writes them.
fn written(hunk: &Hunk) -> String {
    let sign = |kind| match kind {
        LineKind::Context => ' ',
        LineKind::Removed => '-',
        LineKind::Added => '+',
    };
    hunk.lines.iter().map(|line| format!("{}{}|", sign(line.kind), line.text)).collect()
}

#[test]
fn a_patch_that_is_made_to_take_long_does_not() {
    let began = std::time::Instant::now();
    let empty = "\n".repeat(900_000);
    for text in [
        format!("--- a/x\n+++ b/x\n@@\n a\n{empty}+b\n"),
        format!("--- a/x\n+++ b/x\n@@ -1,900001 +1,900002 @@\n a\n{empty}+b\n"),
        format!("*** Begin Patch\n*** Add File: x\n{empty}+b\n*** End Patch\n"),
    ] {
        assert_eq!(hunks(&only(&text))[0].lines.len() / 900_000, 1);
    }
    // Quadratic, it is hours.
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    let error = read(&"+\n".repeat(crate::MOST_LINES + 1)).unwrap_err();
    assert!(error.what.contains("lines"), "{error}");
}

#[test]
fn plain_and_git_headers_name_the_same_file() {
    let heads = [
        "--- a/src/x.rs\n+++ b/src/x.rs\n",
        "--- src/x.rs\n+++ src/x.rs\n",
        "--- src/x.rs\t2024-01-01 10:00:00\n+++ src/x.rs\t2024-01-01 10:00:01\n",
        "diff --git a/src/x.rs b/src/x.rs\nindex 1..2 100644\n--- a/src/x.rs\n+++ b/src/x.rs\n",
        "--- \"a/src/x.rs\"\n+++ \"b/src/x.rs\"\n",
        "Here is the patch:\n\n```diff\n--- a/src/x.rs\n+++ b/src/x.rs\n",
        "Index: src/x.rs\n=====\n--- src/x.rs.orig\n+++ src/x.rs\n",
    ];
    for head in heads {
        let file = only(&format!("{head}@@ -1,2 +1,2 @@ fn main\n a\n-b\n+c\n"));
        assert_eq!(file.path, "src/x.rs", "{head}");
        assert_eq!((file.action, &file.from), (Action::Modify, &None), "{head}");
        assert_eq!(written(&hunks(&file)[0]), " a|-b|+c|");
        assert_eq!(hunks(&file)[0].line, 1);
        assert!(hunks(&file)[0].below.is_empty());
    }
}

#[test]
fn wrong_and_missing_counts_are_counted_anew() {
    for header in ["@@ -1,9 +1,9 @@", "@@ -1 +1 @@", "@@ -7,1 +7,5 @@", "@@ ... @@", "@@", "@@ @@"]
    {
        let text = format!(
            "--- a/x\n+++ b/x\n{header}\n a\n-b\n+c\n d\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-e\n+f\n"
        );
        let files = files(&text);
        assert_eq!(files.len(), 2, "{header}: {files:#?}");
        assert_eq!(written(&hunks(&files[0])[0]), " a|-b|+c| d|", "{header}");
        assert_eq!(written(&hunks(&files[1])[0]), "-e|+f|", "{header}");
    }
    let named = only("--- a/x\n+++ b/x\n@@ def f(x):\n-b\n+c\n");
    assert_eq!(hunks(&named)[0].below, ["def f(x):"]);
}

#[test]
fn what_looks_like_a_header_is_content_where_the_counts_say_so() {
    let file =
        only("--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,2 @@\n a\n--- old words\n+++ new words\n");
    assert_eq!(written(&hunks(&file)[0]), " a|--- old words|+++ new words|");
    let text = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n--- old\n+++ new\n@@ -9 +9 @@\n-e\n+f\n";
    let file = only(text);
    assert_eq!(hunks(&file).len(), 2);
    // The signature of a mailed patch is no line of it.
    let file = only("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-e\n+f\n-- \n2.39.5\n\n");
    assert_eq!(written(&hunks(&file)[0]), "-e|+f|");
}

#[test]
fn empty_context_lines_may_lack_their_space() {
    let file = only("--- a/x\n+++ b/x\n@@ -1,4 +1,4 @@\n a\n\n-b\n+c\n d\n\n\n");
    assert_eq!(written(&hunks(&file)[0]), " a| |-b|+c| d|");
    let file = only("--- a/x\n+++ b/x\n@@ -1,4 +1,4 @@\n a\n-b\n+c\n d\n\n");
    assert_eq!(written(&hunks(&file)[0]), " a|-b|+c| d| |");
    let file = only("--- a/x\n+++ b/x\n@@\n a\n-b\n+c\n\n```\nDone.\n");
    assert_eq!(written(&hunks(&file)[0]), " a|-b|+c|");
}

#[test]
fn ends_without_a_newline_are_told_apart() {
    let file = only("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-b\n\\ No newline at end of file\n+c\n");
    assert!(hunks(&file)[0].old_ends_bare && !hunks(&file)[0].new_ends_bare);
    let file = only("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-b\n+c\n d\n\\ Kein Zeilenumbruch");
    assert!(hunks(&file)[0].old_ends_bare && hunks(&file)[0].new_ends_bare);
}

#[test]
fn files_come_go_move_and_change_their_mode() {
    let text = "diff --git a/new b/new\nnew file mode 100755\nindex 0..1\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+a\n\
                diff --git a/empty b/empty\nnew file mode 100644\nindex 0000000..e69de29\n\
                diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n\
                diff --git a/one b/two words\nsimilarity index 90%\nrename from one\nrename to two words\n--- a/one\n+++ b/two words\n@@ -1 +1 @@\n-a\n+b\n\
                diff --git a/run b/run\nold mode 100644\nnew mode 100755\n\
                diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+target\n\\ No newline at end of file\n\
                diff --git a/a b b/a b\nindex 1..2 100644\n--- a/a b\t\n+++ b/a b\t\n@@ -1 +1 @@\n-a\n+b\n\
                diff --git \"a/\\303\\251\" \"b/\\303\\251\"\nold mode 100755\nnew mode 100644\n\
                diff --git a/c b/d\ncopy from c\ncopy to d\n";
    let files = files(text);
    let told: Vec<_> =
        files.iter().map(|f| (f.path.as_str(), f.action, f.from.as_deref(), f.mode)).collect();
    assert_eq!(
        told,
        [
            ("new", Action::Create, None, Some(0o100_755)),
            ("empty", Action::Create, None, Some(0o100_644)),
            ("gone", Action::Delete, None, None),
            ("two words", Action::Modify, Some("one"), None),
            ("run", Action::Modify, None, Some(0o100_755)),
            ("link", Action::Create, None, Some(0o120_000)),
            ("a b", Action::Modify, None, None),
            ("é", Action::Modify, None, Some(0o100_644)),
            ("d", Action::Modify, Some("c"), None),
        ]
    );
    assert!(files[8].copy && !files[3].copy);
    let file = only("--- /dev/null\n+++ b/src/new.py\n@@ -0,0 +1,2 @@\n+a\n+b\n");
    assert_eq!((file.path.as_str(), file.action), ("src/new.py", Action::Create));
}

#[test]
fn a_patch_from_a_crlf_host_is_read_as_lf_and_crlf_content_is_kept() {
    let file = only("--- a/x\r\n+++ b/x\r\n@@ -1 +1 @@\r\n-a\r\n+b\r\n");
    assert_eq!((file.path.as_str(), written(&hunks(&file)[0])), ("x", "-a|+b|".to_owned()));
    let file = only("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\r\n+b\r\n");
    assert_eq!(written(&hunks(&file)[0]), "-a\r|+b\r|");
}

#[test]
fn the_form_with_sections() {
    let text = "*** Begin Patch\n*** Add File: new/x.py\n+a\n+\n+b\n*** Update File: y.py\n*** Move to: z.py\n\
                @@ class A\n@@ def f(self):\n a\n-b\n+c\n@@\n d\n+e\n*** End of File\n*** Delete File: old.py\n*** End Patch\n";
    let files = files(text);
    assert_eq!(files.len(), 3);
    assert_eq!((files[0].path.as_str(), files[0].action), ("new/x.py", Action::Create));
    assert_eq!(written(&hunks(&files[0])[0]), "+a|+|+b|");
    assert_eq!((files[1].path.as_str(), files[1].from.as_deref()), ("z.py", Some("y.py")));
    let update = hunks(&files[1]);
    assert_eq!(update[0].below, ["class A", "def f(self):"]);
    assert_eq!((written(&update[0]), written(&update[1])), (" a|-b|+c|".into(), " d|+e|".into()));
    assert!(update[1].at_end && !update[0].at_end && update[1].below.is_empty());
    assert_eq!((files[2].path.as_str(), files[2].action), ("old.py", Action::Delete));
    // Without its end, with words around it.
    let file = only("I will fix it.\n*** Begin Patch\n*** Update File: y\n-b\n+c\n");
    assert_eq!(written(&hunks(&file)[0]), "-b|+c|");
}

#[test]
fn what_is_no_patch_is_refused_with_its_line() {
    let told = |text: &str| read(text).unwrap_err();
    assert!(told("").what.contains("no patch"));
    assert!(told("just words\n").what.contains("no patch"));
    assert_eq!(told("x\n@@ -1 +1 @@\n-a\n+b\n").line, 2);
    assert_eq!(told("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\nb\n+c\n").line, 5);
    assert!(told("--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n").what.contains("no file"));
    assert!(told("diff --git a/x b/x\nBinary files a/x and b/x differ\n").what.contains("binary"));
    assert!(told("diff --git a/s b/s\nnew file mode 160000\n").what.contains("submodules"));
    assert_eq!(told("*** Begin Patch\n*** Update File: y\n*** End Patch\n").line, 3);
    assert_eq!(told("*** Begin Patch\nwhat\n*** End Patch\n").line, 2);
}

#[test]
fn binary_parts_unpack_or_are_refused() {
    // As git writes them.
    let made = "diff --git a/b b/b\nnew file mode 100644\nindex 0000000..2ba219b\nGIT binary patch\n\
                literal 4\nLcmZQzWa0t<02KfZ\n\nliteral 0\nHcmV?d00001\n\n\
                diff --git a/big b/big\nindex e896625..fc6628b 100644\nGIT binary patch\n\
                delta 11\nTcmZ3(w1#QIG{%UD)29Le8SVs`\n\ndelta 11\nTcmZ3(w1#QIG{yrHr%wd{8;%75\n\n";
    let files = files(made);
    assert_eq!(files[0].body, Body::Whole(vec![0, 1, 2, b'\n']));
    assert!(matches!(&files[1].body, Body::Delta(delta) if delta.len() == 11), "{files:?}");
    assert_eq!((files.len(), files[1].path.as_str()), (2, "big"));
    for bad in [
        "literal 99999999\nHcmV?d00001\n\n",
        "literal 3\nHcmV?d00001\n\n",
        "literal 0\nH*\n\n",
        "x\n",
    ] {
        let text = format!("diff --git a/b b/b\nnew file mode 100644\nGIT binary patch\n{bad}");
        assert!(read(&text).is_err(), "{bad}");
    }
}

/// Lines that mean something somewhere in a patch.
fn pieces() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "--- a/x",
        "+++ b/x",
        "--- /dev/null",
        "+++ /dev/null",
        "@@ -1,2 +1,3 @@",
        "@@",
        "@@ f",
        " a",
        "-a",
        "+a",
        "",
        "\\ No newline",
        "diff --git a/x b/x",
        "diff --git \"a/\\303\" b",
        "new file mode 100644",
        "rename from \"",
        "rename to y",
        "GIT binary patch",
        "literal 5",
        "delta 5",
        "zcmV",
        "*** Begin Patch",
        "*** Update File: x",
        "*** Add File: y",
        "*** End of File",
        "*** End Patch",
        "```",
        "\u{e9}",
        "--- ",
        "+++ ",
        "@@ -99999999999,1 +1 @@",
        "new mode 9",
        "-- ",
        "--",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn any_text_is_a_patch_or_an_error(lines in prop::collection::vec(prop_oneof![4 => pieces(), 1 => ".{0,20}"], 0..40)) {
        if let Err(error) = read(&lines.join("\n")) {
            prop_assert!(error.line <= lines.len() + 1);
        }
    }

    /// What is written with right counts is read as it was written, whatever its lines look like.
    #[test]
    fn exact_hunks_are_read_exactly(lines in prop::collection::vec(("[-+ ]", "[-+@* a\\\\]{0,6}"), 1..20)) {
        let old = lines.iter().filter(|(sign, _)| sign != "+").count();
        let new = lines.iter().filter(|(sign, _)| sign != "-").count();
        let body: String = lines.iter().map(|(sign, text)| format!("{sign}{text}\n")).collect();
        let text = format!("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,{old} +1,{new} @@\n{body}");
        let wanted: String = lines.iter().map(|(sign, text)| format!("{sign}{text}|")).collect();
        let file = only(&text);
        prop_assert_eq!(written(&hunks(&file)[0]), wanted);
    }
}
