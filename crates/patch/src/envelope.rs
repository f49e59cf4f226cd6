//! The `*** Begin Patch` form: files by sections, places by words instead of numbers.

use pyro_protocol::patch::{Action, Body, FilePatch, Hunk, Line, LineKind, Patch};

use crate::{
    MOST_FILES, PatchError, fault,
    lines::Ahead,
    unified::{content, hunk_header},
};

pub(crate) const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const ADD: &str = "*** Add File: ";
const DELETE: &str = "*** Delete File: ";
const UPDATE: &str = "*** Update File: ";
const MOVE: &str = "*** Move to: ";
const END_OF_FILE: &str = "*** End of File";

/// Reads from the line `*** Begin Patch`.
pub(crate) fn read(lines: &[&str], begin: usize) -> Result<Patch, PatchError> {
    let (mut patch, mut at) = (Patch::default(), begin + 1);
    // An end that was forgotten is the end of the text.
    while let Some(line) = lines.get(at).map(|line| line.trim_end()) {
        if line == END {
            break;
        }
        let named = |head: &str| line.strip_prefix(head).map(|name| name.trim().to_owned());
        let (file, next) = if let Some(path) = named(ADD) {
            add(lines, at + 1, path)?
        } else if let Some(path) = named(DELETE) {
            (file(path, Action::Delete, Vec::new()), at + 1)
        } else if let Some(path) = named(UPDATE) {
            update(lines, at + 1, path)?
        } else if line.is_empty() {
            at += 1;
            continue;
        } else {
            let what = "`*** Add File: `, `*** Update File: `, `*** Delete File: ` or \
                        `*** End Patch` is expected here";
            return Err(fault(at, what));
        };
        if file.path.is_empty() {
            return Err(fault(at, "the file's name is empty"));
        }
        patch.files.push(file);
        if patch.files.len() > MOST_FILES {
            return Err(fault(at, format!("more than {MOST_FILES} files")));
        }
        at = next;
    }
    Ok(patch)
}

fn file(path: String, action: Action, hunks: Vec<Hunk>) -> FilePatch {
    FilePatch { path, from: None, copy: false, action, mode: None, body: Body::Hunks(hunks) }
}

fn add(lines: &[&str], mut at: usize, path: String) -> Result<(FilePatch, usize), PatchError> {
    let (mut hunk, mut ahead) = (Hunk::default(), Ahead::default());
    while let Some(line) = lines.get(at).filter(|line| !line.starts_with("*** ")) {
        let text = match line.strip_prefix('+') {
            Some(text) => text,
            None if line.trim().is_empty() => {
                // An empty line whose `+` was forgotten, or one before the next section.
                let more = ahead.of(lines, at, |line| line.trim().is_empty());
                if !more.is_some_and(|line| line.starts_with('+')) {
                    at += 1;
                    continue;
                }
                ""
            }
            None => return Err(fault(at, "each line of an added file begins with `+`")),
        };
        hunk.lines.push(Line { kind: LineKind::Added, text: text.to_owned() });
        at += 1;
    }
    let hunks = if hunk.lines.is_empty() { Vec::new() } else { vec![hunk] };
    Ok((file(path, Action::Create, hunks), at))
}

fn update(lines: &[&str], mut at: usize, path: String) -> Result<(FilePatch, usize), PatchError> {
    let began = at;
    let moved = lines.get(at).and_then(|line| line.strip_prefix(MOVE));
    let moved = moved.map(|name| name.trim().to_owned());
    at += usize::from(moved.is_some());
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut hunk = Hunk::default();
    while let Some(line) = lines.get(at) {
        if line.trim_end() == END_OF_FILE {
            hunk.at_end = true;
        } else if line.starts_with("*** ") {
            break;
        } else if let Some(header) = hunk_header(line) {
            close(&mut hunk, &mut hunks);
            if header.line > 0 {
                hunk.line = header.line;
            }
            hunk.below.extend(header.words);
        } else if line.starts_with('\\') {
            // The form has no need of it.
        } else if let Some(read) = content(line) {
            hunk.lines.push(read);
        } else {
            let what = "it begins with none of ` `, `+`, `-` and `@@`, so it is neither context nor \
                        a change";
            return Err(fault(at, what));
        }
        at += 1;
    }
    close(&mut hunk, &mut hunks);
    if hunks.is_empty() && moved.is_none() {
        return Err(fault(began, format!("nothing is to be done to {path}")));
    }
    let mut updated = file(path, Action::Modify, hunks);
    if let Some(to) = moved.filter(|to| *to != updated.path) {
        updated.from = Some(std::mem::replace(&mut updated.path, to));
    }
    Ok((updated, at))
}

/// Ends a hunk, if it has lines; without any, its words stay for the next one.
fn close(hunk: &mut Hunk, hunks: &mut Vec<Hunk>) {
    while hunk.lines.last().is_some_and(|l| l.kind == LineKind::Context && l.text.is_empty()) {
        hunk.lines.pop();
    }
    if !hunk.lines.is_empty() {
        hunks.push(std::mem::take(hunk));
    }
}
