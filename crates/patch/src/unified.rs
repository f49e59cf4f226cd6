//! Unified diffs, plain and git's.

use pyro_protocol::patch::{Action, Body, FilePatch, Hunk, Line, LineKind, Patch};

use crate::{
    MOST_BINARY, MOST_FILES, PatchError, binary, fault,
    lines::{Ahead, is_fence},
    names,
};

/// What is known of a file before its first hunk.
#[derive(Default)]
struct Head {
    old: Option<String>,
    new: Option<String>,
    created: bool,
    deleted: bool,
    copied: bool,
    from: Option<String>,
    to: Option<String>,
    mode: Option<u32>,
    /// Its first line.
    at: usize,
}

pub(crate) fn read(lines: &[&str]) -> Result<Patch, PatchError> {
    let (mut patch, mut at) = (Patch::default(), 0);
    let mut room = MOST_BINARY;
    while at < lines.len() {
        let head = if let Some(pair) = lines[at].strip_prefix("diff --git ") {
            let mut head = Head { at, ..Head::default() };
            if let Some((old, new)) = names::pair(pair.trim_end_matches('\r')) {
                (head.old, head.new) = (Some(old), Some(new));
            }
            at = extended(lines, at + 1, &mut head)?;
            head
        } else if begins_file(lines, at) {
            Head { at, ..Head::default() }
        } else if hunk_header(lines[at]).is_some() {
            return Err(fault(at, "a hunk before any `--- FILE` and `+++ FILE`"));
        } else {
            at += 1;
            continue;
        };
        let (file, next) = one(lines, at, head, &mut room)?;
        patch.files.push(file);
        if patch.files.len() > MOST_FILES {
            return Err(fault(at, format!("more than {MOST_FILES} files")));
        }
        at = next;
    }
    Ok(patch)
}

/// The lines between `diff --git` and the names or hunks.
fn extended(lines: &[&str], mut at: usize, head: &mut Head) -> Result<usize, PatchError> {
    while let Some(line) = lines.get(at).map(|line| line.trim_end_matches('\r')) {
        let unquoted = |name: &str| names::quoted(name).map_or_else(|| name.to_owned(), |(n, _)| n);
        if let Some(mode) = line.strip_prefix("new file mode ") {
            (head.created, head.mode) = (true, Some(kind_of(mode, at)?));
        } else if let Some(mode) = line.strip_prefix("deleted file mode ") {
            kind_of(mode, at)?;
            head.deleted = true;
        } else if let Some(mode) = line.strip_prefix("new mode ") {
            head.mode = Some(kind_of(mode, at)?);
        } else if let Some(name) = line.strip_prefix("rename from ") {
            head.from = Some(unquoted(name));
        } else if let Some(name) = line.strip_prefix("copy from ") {
            (head.copied, head.from) = (true, Some(unquoted(name)));
        } else if let Some(name) =
            line.strip_prefix("rename to ").or_else(|| line.strip_prefix("copy to "))
        {
            head.to = Some(unquoted(name));
        } else if line.starts_with("Binary files ") {
            let what = "the content of a binary file is not in the patch: make it with \
                        `git diff --binary`, or write the file by itself";
            return Err(fault(at, what));
        } else if !["old mode ", "index ", "similarity index ", "dissimilarity index "]
            .iter()
            .any(|known| line.starts_with(known))
        {
            break;
        }
        at += 1;
    }
    Ok(at)
}

/// Type and permissions, as far as they are kept.
fn kind_of(mode: &str, at: usize) -> Result<u32, PatchError> {
    match u32::from_str_radix(mode.trim(), 8) {
        Ok(0o120_000) => Ok(0o120_000),
        Ok(0o160_000) => Err(fault(at, "submodules cannot be patched")),
        Ok(mode) if mode & !0o7777 == 0o100_000 => {
            Ok(if mode & 0o100 == 0 { 0o100_644 } else { 0o100_755 })
        }
        _ => Err(fault(at, format!("`{mode}` is not a mode of git's"))),
    }
}

/// Whether `--- FILE` and `+++ FILE` stand here.
fn begins_file(lines: &[&str], at: usize) -> bool {
    let starts = |at: usize, with: &str| lines.get(at).is_some_and(|line| line.starts_with(with));
    starts(at, "--- ") && starts(at + 1, "+++ ")
}

fn one(
    lines: &[&str],
    mut at: usize,
    mut head: Head,
    room: &mut usize,
) -> Result<(FilePatch, usize), PatchError> {
    let body;
    if begins_file(lines, at) {
        head.old = Some(names::header(&lines[at][4..]));
        head.new = Some(names::header(&lines[at + 1][4..]));
        at += 2;
    }
    if lines.get(at).is_some_and(|line| line.trim_end() == binary::BEGIN) {
        (body, at) = binary::read(lines, at + 1, room)?;
    } else {
        let mut hunks = Vec::new();
        loop {
            // Some leave an empty line between hunks.
            let skipped = lines[at.min(lines.len())..].iter().take_while(|l| l.is_empty()).count();
            let Some(header) = lines.get(at + skipped).and_then(|line| hunk_header(line)) else {
                break;
            };
            let (hunk, next) = hunk(lines, at + skipped, &header)?;
            hunks.push(hunk);
            at = next;
        }
        body = Body::Hunks(hunks);
    }
    Ok((named(head, body)?, at))
}

fn named(head: Head, body: Body) -> Result<FilePatch, PatchError> {
    let at = head.at;
    let (Some(old), Some(new)) = (&head.old, &head.new) else {
        return match (head.from, head.to) {
            (Some(from), Some(path)) => Ok(FilePatch {
                path,
                from: Some(from),
                copy: head.copied,
                action: Action::Modify,
                mode: head.mode,
                body,
            }),
            _ => Err(fault(at, "the file's name cannot be told from this line")),
        };
    };
    let (old, new) = names::stripped(old, new);
    let action = match (old.as_str(), new.as_str()) {
        (names::NONE, names::NONE) => return Err(fault(at, "it names no file")),
        (names::NONE, _) => Action::Create,
        (_, names::NONE) => Action::Delete,
        _ if head.created => Action::Create,
        _ if head.deleted => Action::Delete,
        _ => Action::Modify,
    };
    let path = if action == Action::Delete && new == names::NONE { old } else { new };
    let path = head.to.unwrap_or(path);
    if path.is_empty() {
        return Err(fault(at, "the file's name is empty"));
    }
    let from = head.from.filter(|from| *from != path && action == Action::Modify);
    Ok(FilePatch { path, from, copy: head.copied, action, mode: head.mode, body })
}

/// What `@@ -1,2 +3,4 @@ words` says.
#[derive(Default)]
pub(crate) struct HunkHeader {
    pub(crate) line: u32,
    /// Old and new lines, where they are said.
    pub(crate) counts: Option<(usize, usize)>,
    /// The words, where there are no numbers: they name a place.
    pub(crate) words: Option<String>,
}

pub(crate) fn hunk_header(line: &str) -> Option<HunkHeader> {
    let rest = line.strip_prefix("@@")?;
    if !(rest.is_empty() || rest.starts_with([' ', '\r', '\t'])) {
        return None;
    }
    let numbers = || {
        let (old, rest) = rest.trim_start().strip_prefix('-')?.split_once(' ')?;
        let new = rest.trim_start().strip_prefix('+')?;
        let new = new.split([' ', '@']).next()?;
        let range = |text: &str| {
            let (start, count) = text.split_once(',').unwrap_or((text, "1"));
            Some((start.parse::<u32>().ok()?, count.parse::<usize>().ok()?))
        };
        Some((range(old)?, range(new)?))
    };
    Some(match numbers() {
        Some(((line, old), (_, new))) => HunkHeader { line, counts: Some((old, new)), words: None },
        None => {
            let words = rest.trim().trim_end_matches("@@").trim();
            // `@@ ... @@` names nothing.
            let says = words.chars().any(char::is_alphanumeric) && !words.starts_with('-');
            HunkHeader { words: says.then(|| words.to_owned()), ..HunkHeader::default() }
        }
    })
}

fn hunk(lines: &[&str], at: usize, header: &HunkHeader) -> Result<(Hunk, usize), PatchError> {
    let mut hunk = Hunk {
        line: header.line,
        below: header.words.clone().into_iter().collect(),
        ..Hunk::default()
    };
    let (mut old, mut new) = (0, 0);
    let mut next = at + 1;
    let mut ahead = Ahead::default();
    while let Some(line) = lines.get(next) {
        let left = header.counts.map(|(o, n)| (o.saturating_sub(old), n.saturating_sub(new)));
        let wants_more = left.is_none_or(|left| left != (0, 0));
        if ends(lines, next, left, wants_more, &mut ahead) {
            break;
        }
        if bare(line, &mut hunk) {
            next += 1;
            continue;
        }
        let Some(read) = content(line) else {
            return Err(fault(
                next,
                "it begins with none of ` `, `+` and `-`, so it is neither context nor a change",
            ));
        };
        old += usize::from(read.kind != LineKind::Added);
        new += usize::from(read.kind != LineKind::Removed);
        hunk.lines.push(read);
        next += 1;
    }
    if let Some((wanted_old, wanted_new)) = header.counts {
        // Empty lines at the end are context only where the counts want them.
        while (old > wanted_old || new > wanted_new) && drop_empty(&mut hunk) {
            (old, new) = (old - 1, new - 1);
        }
        if (old, new) != (wanted_old, wanted_new) {
            // Its numbers were not counted, so its place was not either; it is still a hint.
            while lines.get(next - 1).is_some_and(|line| line.is_empty()) && drop_empty(&mut hunk) {
                next -= 1;
            }
        }
    } else {
        while lines.get(next - 1).is_some_and(|line| line.is_empty()) && drop_empty(&mut hunk) {
            next -= 1;
        }
    }
    if hunk.lines.is_empty() {
        return Err(fault(at, "the hunk is empty"));
    }
    Ok((hunk, next))
}

/// Whether a hunk's body ends before this line.
fn ends(
    lines: &[&str],
    at: usize,
    left: Option<(usize, usize)>,
    wants_more: bool,
    ahead: &mut Ahead,
) -> bool {
    let line = lines[at];
    if line.is_empty() {
        // Context without its space, if more of the hunk follows.
        let more = ahead.of(lines, at, str::is_empty);
        let follows = more.is_some_and(|line| line.starts_with([' ', '+', '-', '\\']));
        return !(follows || wants_more && left.is_some());
    }
    if hunk_header(line).is_some() || line.starts_with("diff --git ") || is_fence(line) {
        return true;
    }
    if begins_file(lines, at) {
        // `-- x` goes and `++ y` comes, if the counts want just these two.
        let counted = left == Some((1, 1));
        let headed = lines.get(at + 2).is_some_and(|line| hunk_header(line).is_some());
        return headed && !counted;
    }
    // The signature under a mailed patch; words after it.
    let signature = line.trim_end() == "--" && line != "--";
    !wants_more && (signature || !line.starts_with([' ', '+', '-', '\\']))
}

/// One line of a hunk.
pub(crate) fn content(line: &str) -> Option<Line> {
    let kind = match line.as_bytes().first() {
        None | Some(b' ') => LineKind::Context,
        Some(b'+') => LineKind::Added,
        Some(b'-') => LineKind::Removed,
        // A carriage return alone is an empty line of a CRLF file.
        Some(b'\r') if line.len() == 1 => {
            return Some(Line { kind: LineKind::Context, text: line.to_owned() });
        }
        Some(_) => return None,
    };
    Some(Line { kind, text: line.get(1..).unwrap_or_default().to_owned() })
}

/// `\ No newline at end of file`, in any language.
fn bare(line: &str, hunk: &mut Hunk) -> bool {
    if !line.starts_with('\\') {
        return false;
    }
    match hunk.lines.last().map(|line| line.kind) {
        Some(LineKind::Context) => (hunk.old_ends_bare, hunk.new_ends_bare) = (true, true),
        Some(LineKind::Removed) => hunk.old_ends_bare = true,
        Some(LineKind::Added) => hunk.new_ends_bare = true,
        None => {}
    }
    true
}

fn drop_empty(hunk: &mut Hunk) -> bool {
    let empty = hunk
        .lines
        .last()
        .is_some_and(|line| line.kind == LineKind::Context && line.text.is_empty());
    if empty {
        hunk.lines.pop();
    }
    empty
}
