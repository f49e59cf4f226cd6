//! Wishes made true in a file, each change recorded before the file is written.

use pyro_operations::chat_host::FileChange;
use serde_json::{Value, json};

use crate::{
    ChatHostError, Result,
    change::{Splice, digest},
    document::{self, Edit, Trouble},
    file::{self, Outcome},
    record::{Book, EditRecord, Record},
    wish::{Place, Want, Wish, Wishes, dotted},
};

/// What wishes make of a text.
pub(crate) struct Made {
    pub(crate) text: String,
    pub(crate) edits: Vec<EditRecord>,
    pub(crate) splices: Vec<Splice>,
}

/// The document of a file; an empty one when there is none.
pub(crate) fn read(place: &Place) -> Result<Value> {
    let text = file::read(place)?.unwrap_or_default();
    place.format.read(&text).map_err(|trouble| in_file(place, trouble))
}

/// A trouble with a text, with the file that it is in.
pub(crate) fn in_file(place: &Place, trouble: Trouble) -> ChatHostError {
    let path = place.file.clone();
    match trouble {
        Trouble::Malformed { line, why } => ChatHostError::Malformed { path, line, why },
        Trouble::Key { key, why } => ChatHostError::Key { path, key, why },
    }
}

/// What the wishes make of a text; nothing for those that hold already.
pub(crate) fn make(place: &Place, text: &str, wishes: &[Wish]) -> Result<Made> {
    let failed = |trouble| in_file(place, trouble);
    let mut made = Made { text: text.to_owned(), edits: Vec::new(), splices: Vec::new() };
    for wish in wishes {
        let mut document = place.format.read(&made.text).map_err(failed)?;
        if wish.holds(document::at(&document, &wish.key)) {
            continue;
        }
        if let Some(lift) = lifted(wish, &document) {
            step(place, &mut made, &document, &lift)?;
            document = place.format.read(&made.text).map_err(failed)?;
        }
        step(place, &mut made, &document, wish)?;
    }
    Ok(made)
}

/// The parent as an object, where it is a plain text and the wish asks for that.
fn lifted(wish: &Wish, document: &Value) -> Option<Wish> {
    let (_, parent) = wish.key.split_last()?;
    let plain = document::at(document, parent).filter(|found| wish.lifts && found.is_string())?;
    let want = Want::Is(json!({"*": plain}));
    Some(Wish { key: parent.to_vec(), want, reason: wish.reason, lifts: false })
}

fn step(place: &Place, made: &mut Made, document: &Value, wish: &Wish) -> Result<()> {
    let edit = match &wish.want {
        Want::Is(value) => Edit::Set(value),
        Want::Holds(item) => Edit::AddItem(item),
        Want::Absent => Edit::Remove,
    };
    let text = place
        .format
        .edit(&made.text, &wish.key, &edit)
        .map_err(|trouble| in_file(place, trouble))?;
    let item = match &wish.want {
        Want::Holds(item) => Some(item.clone()),
        Want::Is(_) | Want::Absent => None,
    };
    let after = match &wish.want {
        Want::Is(value) => Some(value.clone()),
        Want::Holds(_) | Want::Absent => None,
    };
    let found = document::at(document, &wish.key);
    made.edits.push(EditRecord {
        reason: wish.reason,
        key: wish.key.clone(),
        before: found.filter(|_| item.is_none()).cloned(),
        item,
        after,
        depth: document::depth(document, &wish.key),
    });
    made.splices.push(Splice::between(&made.text, &text));
    made.text = text;
    Ok(())
}

/// Makes wishes true in their file. `afresh` writes a new file instead of what cannot be read.
pub(crate) fn apply(
    book: &Book,
    record: &mut Record,
    wishes: &Wishes,
    afresh: bool,
) -> Result<Vec<FileChange>> {
    let place = &wishes.place;
    let mut changes = Vec::new();
    let base = record.clone();
    let directories = file::change(place, |found| {
        *record = base.clone();
        let usable = found.filter(|text| !afresh || place.format.read(text).is_ok());
        let before = usable.unwrap_or(&place.template);
        let made = make(place, before, &wishes.wishes)?;
        if made.text == before && found == usable {
            return Ok(Outcome::Unchanged);
        }
        changes = differences(place, usable, Some(&made.text), &made.edits)?;
        remember(record, place, usable, made.edits, made.splices, &made.text);
        // Written first: whatever happens next, disconnecting knows what to look for.
        book.save(record)?;
        Ok(Outcome::Text(made.text))
    })?;
    if !directories.is_empty() {
        record.of_file(place).directories.extend(directories);
        book.save(record)?;
    }
    Ok(changes)
}

fn remember(
    record: &mut Record,
    place: &Place,
    before: Option<&str>,
    edits: Vec<EditRecord>,
    splices: Vec<Splice>,
    after: &str,
) {
    let file = record.of_file(place);
    let first = file.digest.is_empty();
    file.made = before.is_none() || (file.made && !first);
    let follows = first || before.is_some_and(|before| digest(before) == file.digest);
    file.splices = match file.splices.take() {
        Some(known) if follows => Some([known, splices].concat()),
        _ => None,
    };
    file.digest = digest(after);
    for edit in edits {
        let known = file.edits.iter_mut().find(|k| k.key == edit.key && k.item == edit.item);
        match known {
            // What was there first is what comes back.
            Some(known) => known.after = edit.after,
            None => file.edits.push(edit),
        }
    }
}

/// What changed at the keys that were edited, once for each.
pub(crate) fn differences(
    place: &Place,
    before: Option<&str>,
    after: Option<&str>,
    edits: &[EditRecord],
) -> Result<Vec<FileChange>> {
    let read = |text: Option<&str>| {
        let text = text.unwrap_or_default();
        place.format.read(text).map_err(|trouble| in_file(place, trouble))
    };
    let (before, after) = (read(before)?, read(after)?);
    let mut changes: Vec<FileChange> = Vec::new();
    for edit in edits {
        let key = dotted(&edit.key);
        // What is said of a whole says it of its parts.
        let of_a_part = |other: &EditRecord| {
            other.key.len() < edit.key.len() && edit.key.starts_with(&other.key)
        };
        if edits.iter().any(of_a_part) {
            continue;
        }
        let text = |document| document::at(document, &edit.key).map(Value::to_string);
        let (was, is) = (text(&before), text(&after));
        if was != is && !changes.iter().any(|change| change.key == key) {
            let file = place.file.display().to_string();
            changes.push(FileChange { file, key, before: was, after: is });
        }
    }
    Ok(changes)
}
