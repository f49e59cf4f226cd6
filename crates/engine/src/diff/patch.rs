//! The patch: what `git apply` takes, byte for byte, and the counts that replies show.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use pyro_model::ChangeKind;
use sha1::{Digest, Sha1};
use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices_deadline, group_diff_ops};

use super::{Changed, Changes, Side, binary, content::Contents, hex, renames};

/// Lines around each change.
const CONTEXT: usize = 3;
/// After this long, a file's diff may be coarser than it could be; it stays right.
const FINE: Duration = Duration::from_secs(2);
/// The same for all files together: a guest can make any number of them slow.
const ALL_FINE: Duration = Duration::from_secs(20);

/// One file of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePatch {
    pub(crate) path: String,
    pub(crate) change: ChangeKind,
    pub(crate) from: Option<String>,
    pub(crate) insertions: u64,
    pub(crate) deletions: u64,
    pub(crate) binary: bool,
}

/// A whole patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) text: String,
    pub(crate) sha256: String,
    pub(crate) files: Vec<FilePatch>,
    pub(crate) ignored: u64,
    pub(crate) notices: Vec<String>,
}

/// Writes the patch of all changes.
pub(super) fn write(changes: Changes, contents: &[Contents]) -> Patch {
    let Changes { files, ignored, notices } = changes;
    let moved = renames::find(&files, contents);
    let all_fine = Instant::now() + ALL_FINE;
    let mut text = String::new();
    let mut rows = Vec::new();
    for (index, (file, content)) in files.iter().zip(contents).enumerate() {
        if moved.values().any(|old| *old == index) {
            continue;
        }
        if let Some(old) = moved.get(&index) {
            rename(&files[*old], file, &mut text);
            rows.push(FilePatch {
                path: shown(&file.path),
                change: ChangeKind::Renamed,
                from: Some(shown(&files[*old].path)),
                insertions: 0,
                deletions: 0,
                binary: false,
            });
            continue;
        }
        // Unchanged against HEAD, though dirty when seeded.
        if !file.same_content
            && file.old.is_some()
            && file.new.is_some()
            && content.old == content.new
            && file.old.as_ref().map(Side::git_mode) == file.new.as_ref().map(Side::git_mode)
        {
            continue;
        }
        let fine = all_fine.min(Instant::now() + FINE);
        rows.push(one(file, content, fine, &mut text));
    }
    let sha256 = super::sha256(text.as_bytes());
    Patch { text, sha256, files: rows, ignored, notices }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn one(file: &Changed, content: &Contents, fine: Instant, text: &mut String) -> FilePatch {
    let mut row = FilePatch {
        path: shown(&file.path),
        change: file.kind(),
        from: None,
        insertions: 0,
        deletions: 0,
        binary: false,
    };
    match (&file.old, &file.new) {
        // Another type: git knows it only as the end of one and the beginning of the other.
        (Some(old), Some(new)) if !old.same_type(new) => {
            let gone = Contents { old: content.old.clone(), new: Vec::new() };
            let came = Contents { old: Vec::new(), new: content.new.clone() };
            section(&file.path, [Some(old), None], &gone, fine, text, &mut row);
            section(&file.path, [None, Some(new)], &came, fine, text, &mut row);
        }
        (old, new) => {
            section(&file.path, [old.as_ref(), new.as_ref()], content, fine, text, &mut row);
        }
    }
    row
}

/// `index` lines name contents as git does.
fn blob(side: Option<&Side>, content: &[u8]) -> String {
    match side {
        None => "0".repeat(40),
        Some(_) => {
            let mut hash = Sha1::new();
            hash.update(format!("blob {}\0", content.len()));
            hash.update(content);
            hex(&hash.finalize())
        }
    }
}

fn section(
    path: &[u8],
    [old, new]: [Option<&Side>; 2],
    content: &Contents,
    fine: Instant,
    text: &mut String,
    row: &mut FilePatch,
) {
    let (a, b) = (quoted("a/", path), quoted("b/", path));
    let _ = writeln!(text, "diff --git {a} {b}");
    match (old, new) {
        (None, Some(new)) => {
            let _ = writeln!(text, "new file mode {}", new.git_mode());
        }
        (Some(old), None) => {
            let _ = writeln!(text, "deleted file mode {}", old.git_mode());
        }
        (Some(old), Some(new)) if old.git_mode() != new.git_mode() => {
            let _ = writeln!(text, "old mode {}\nnew mode {}", old.git_mode(), new.git_mode());
        }
        _ => {}
    }
    if content.old == content.new && old.is_some() == new.is_some() {
        return;
    }
    let _ = write!(text, "index {}..{}", blob(old, &content.old), blob(new, &content.new));
    match (old, new) {
        (Some(old), Some(new)) if old.git_mode() == new.git_mode() => {
            let _ = writeln!(text, " {}", new.git_mode());
        }
        _ => text.push('\n'),
    }
    if content.old.is_empty() && content.new.is_empty() {
        return;
    }
    if binary::is_binary(&content.old) || binary::is_binary(&content.new) {
        row.binary = true;
        binary::write(&content.old, &content.new, text);
        return;
    }
    let tab = |name: &str| if name.contains(' ') { "\t" } else { "" };
    match old {
        Some(_) => {
            let _ = writeln!(text, "--- {a}{}", tab(&a));
        }
        None => text.push_str("--- /dev/null\n"),
    }
    match new {
        Some(_) => {
            let _ = writeln!(text, "+++ {b}{}", tab(&b));
        }
        None => text.push_str("+++ /dev/null\n"),
    }
    hunks(&content.old, &content.new, fine, text, row);
}

/// Lines with their newlines; a last one may have none.
fn lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|b| *b == b'\n').collect()
}

fn hunks(old: &[u8], new: &[u8], fine: Instant, text: &mut String, row: &mut FilePatch) {
    let (old, new) = (lines(old), lines(new));
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(fine));
    for group in group_diff_ops(ops, CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (a, b) = (
            first.old_range().start..last.old_range().end,
            first.new_range().start..last.new_range().end,
        );
        let _ = writeln!(text, "@@ -{} +{} @@", extent(&a), extent(&b));
        for op in &group {
            operation(op, &old, &new, text, row);
        }
    }
}

/// `start,count` as unified diffs have it: lines from 1, and the line before where there are none.
fn extent(range: &std::ops::Range<usize>) -> String {
    let start = if range.is_empty() { range.start } else { range.start + 1 };
    match range.len() {
        1 => format!("{start}"),
        count => format!("{start},{count}"),
    }
}

fn operation(op: &DiffOp, old: &[&[u8]], new: &[&[u8]], text: &mut String, row: &mut FilePatch) {
    let mut put = |sign: char, line: &[u8]| {
        text.push(sign);
        // Both sides are UTF-8, else they were written as binary.
        text.push_str(&String::from_utf8_lossy(line));
        if !line.ends_with(b"\n") {
            text.push_str("\n\\ No newline at end of file\n");
        }
    };
    if op.tag() == DiffTag::Equal {
        old[op.old_range()].iter().for_each(|line| put(' ', line));
        return;
    }
    old[op.old_range()].iter().for_each(|line| put('-', line));
    new[op.new_range()].iter().for_each(|line| put('+', line));
    row.deletions += op.old_range().len() as u64;
    row.insertions += op.new_range().len() as u64;
}

fn rename(old: &Changed, new: &Changed, text: &mut String) {
    let _ = writeln!(text, "diff --git {} {}", quoted("a/", &old.path), quoted("b/", &new.path));
    let mode = |side: &Option<Side>| side.as_ref().map_or("100644", Side::git_mode);
    if mode(&old.old) != mode(&new.new) {
        let _ = writeln!(text, "old mode {}\nnew mode {}", mode(&old.old), mode(&new.new));
    }
    let _ = writeln!(text, "similarity index 100%");
    let _ = writeln!(text, "rename from {}", quoted("", &old.path));
    let _ = writeln!(text, "rename to {}", quoted("", &new.path));
}

/// A path as git writes it: in quotes where it has signs that a line cannot carry.
fn quoted(prefix: &str, path: &[u8]) -> String {
    let plain = std::str::from_utf8(path)
        .is_ok_and(|text| !text.chars().any(|c| c.is_control() || c == '"' || c == '\\'));
    if plain {
        return format!("{prefix}{}", String::from_utf8_lossy(path));
    }
    let mut text = format!("\"{prefix}");
    for byte in path {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\r' => text.push_str("\\r"),
            0x20..=0x7e => text.push(char::from(*byte)),
            other => {
                let _ = write!(text, "\\{other:03o}");
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that have no order: the slowest to compare.
    fn noise(mut seed: u64) -> Vec<u8> {
        let mut bit = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b"01"[usize::from(seed >> 63 == 1)]
        };
        (0..100_000).flat_map(|_| [bit(), b'\n']).collect()
    }

    #[test]
    fn past_the_patience_of_all_files_a_file_costs_little() {
        let content = Contents { old: noise(1), new: noise(2) };
        let side = || Some(Side::File { bytes: 200_000, executable: false });
        let file = Changed { path: b"f".into(), old: side(), new: side(), same_content: false };
        let began = Instant::now();
        let mut text = String::new();
        let row = one(&file, &content, began, &mut text);
        assert!(began.elapsed() < FINE / 2, "{:?}", began.elapsed());
        // Coarse, and right: what goes away and what comes balance.
        assert!(row.insertions > 0 && row.insertions == row.deletions);
    }
}
