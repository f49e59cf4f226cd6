//! Replacing exact text in a file. Bytes that are not replaced stay as they are, line ends too.

use super::{Workspace, read_whole, size_of, write::Place};
use crate::agent::refusal::{Answer, from_errno, refuse};
use pyro_model::limits::FILE_EDIT_BYTES;
use pyro_protocol::{
    files::{Edit, Edited},
    message::{Refusal, RefusalKind},
};

/// Places named when the text is there more than once.
const NAMED: usize = 10;
/// Line comparisons spent on a hint.
const HINT_WORK: usize = 2_000_000;

pub(in crate::agent) fn edit(workspace: &Workspace, edit: &Edit) -> Answer<Edited> {
    let failed = |errno| from_errno("edit", &edit.path, errno);
    if edit.old.is_empty() {
        return Err(say(edit, RefusalKind::Invalid, "the text to replace is empty"));
    }
    let (file, status) = workspace.open_file("edit", &edit.path)?;
    let too_large = || say(edit, RefusalKind::TooLarge, "at most 8 MiB can be edited");
    if size_of(&status) > FILE_EDIT_BYTES {
        return Err(too_large());
    }
    let bytes = read_whole(&file, FILE_EDIT_BYTES).map_err(failed)?.ok_or_else(too_large)?;
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(say(edit, RefusalKind::NotText, "it is not UTF-8 text"));
    };
    let places = text.match_indices(&edit.old).count();
    if places == 0 {
        return Err(say(edit, RefusalKind::EditMissing, &missing(&text, &edit.old)));
    }
    if places > 1 && !edit.all {
        return Err(say(edit, RefusalKind::EditAmbiguous, &ambiguous(&text, &edit.old, places)));
    }
    let removed = places * edit.old.len();
    let added = places.saturating_mul(edit.new.len());
    if (text.len() - removed).saturating_add(added) as u64 > FILE_EDIT_BYTES {
        return Err(say(edit, RefusalKind::TooLarge, "the result would be over 8 MiB"));
    }
    let text = text.replace(&edit.old, &edit.new);
    let place = Place::find(workspace, &edit.path, false).map_err(failed)?;
    let existing = place.existing().map_err(failed)?;
    place.replace(workspace, text.as_bytes(), existing.as_ref(), None).map_err(failed)?;
    Ok(Edited { replacements: places as u64, bytes: text.len() as u64 })
}

fn say(edit: &Edit, kind: RefusalKind, why: &str) -> Refusal {
    refuse(kind, &edit.path, format!("edit {}: {why}", edit.path))
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
}

fn ambiguous(text: &str, old: &str, places: usize) -> String {
    let lines: Vec<String> =
        text.match_indices(old).take(NAMED).map(|(at, _)| line_of(text, at).to_string()).collect();
    let more = if places > NAMED { ", …" } else { "" };
    format!("the text is there {places} times, at lines {}{more}", lines.join(", "))
}

/// Why the text is not there, as far as can be seen.
fn missing(text: &str, old: &str) -> String {
    let nothing = "the text is not there";
    if text.contains("\r\n") && !old.contains("\r\n") {
        let unix = text.replace("\r\n", "\n");
        if let Some(at) = unix.find(old) {
            let line = line_of(&unix, at);
            return format!("{nothing}; found at line {line} with CRLF line ends");
        }
    }
    match with_other_whitespace(text, old) {
        Some(line) => format!("{nothing}; found with other whitespace at line {line}"),
        None => match first_line(text, old) {
            Some(line) => {
                format!("{nothing}; its first line is at line {line}, what follows differs")
            }
            None => nothing.to_owned(),
        },
    }
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

/// The first line at which the same words stand in the same lines.
fn with_other_whitespace(text: &str, old: &str) -> Option<usize> {
    let wanted: Vec<&str> = old.trim().lines().collect();
    if wanted.iter().all(|line| line.trim().is_empty()) {
        return None;
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut work = 0;
    for (index, window) in lines.windows(wanted.len()).enumerate() {
        let mut same = true;
        for (have, want) in window.iter().zip(&wanted) {
            work += 1;
            if !words(have).eq(words(want)) {
                same = false;
                break;
            }
        }
        if same {
            return Some(index + 1);
        }
        if work > HINT_WORK {
            return None;
        }
    }
    None
}

fn first_line(text: &str, old: &str) -> Option<usize> {
    let first = old.lines().find(|line| !line.trim().is_empty())?.trim();
    text.lines().position(|line| line.trim() == first).map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_say_where_to_look() {
        let text = "fn a() {\n    one();\n\ttwo();\n}\n";
        assert!(missing(text, "  one();\n  two();").ends_with("other whitespace at line 2"));
        assert!(missing(text, "    one();\n    three();").contains("first line is at line 2"));
        assert_eq!(missing(text, "nowhere"), "the text is not there");
        assert!(missing("a\r\nb\r\nc\r\n", "b\nc").ends_with("line 2 with CRLF line ends"));
        assert_eq!(missing("", " \n "), "the text is not there");
    }

    #[test]
    fn many_places_are_named_up_to_ten() {
        let text = "x\n".repeat(12);
        let said = ambiguous(&text, "x", 12);
        assert_eq!(said, "the text is there 12 times, at lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …");
    }
}
