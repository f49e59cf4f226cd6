//! What connecting changed in a file, undone: the very bytes come back when nobody wrote since;
//! else each key goes back to what it was, unless somebody else set it since.

use pyro_operations::chat_host::FileChange;
use serde_json::Value;

use crate::{
    Result,
    apply::{differences, in_file},
    change::digest,
    document::{self, Edit},
    file::{self, Outcome},
    record::{EditRecord, FileRecord},
    wish::Reason,
};

/// Undoes everything that was done in a file.
pub(crate) fn all(record: &FileRecord) -> Result<Vec<FileChange>> {
    let changes = change(record, |text| {
        if digest(text) != record.digest {
            return Ok(None);
        }
        if record.made {
            return Ok(Some(None));
        }
        let Some(splices) = &record.splices else { return Ok(None) };
        let first =
            splices.iter().rev().try_fold(text.to_owned(), |text, splice| splice.undone(&text));
        Ok(first.map(Some))
    })?;
    file::remove_directories(&record.directories);
    Ok(changes)
}

/// Undoes only what was done for this reason. What is left cannot be undone by its bytes any more.
pub(crate) fn some(record: &mut FileRecord, reason: Reason) -> Result<Vec<FileChange>> {
    let (gone, kept): (Vec<_>, Vec<_>) =
        record.edits.drain(..).partition(|edit| edit.reason == reason);
    if gone.is_empty() {
        record.edits = kept;
        return Ok(Vec::new());
    }
    let part = FileRecord { edits: gone, ..record.clone() };
    let nothing_left = kept.is_empty();
    record.edits = kept;
    if nothing_left {
        return all(&part);
    }
    record.splices = None;
    change(&part, |_| Ok(None))
}

/// `exactly` says what the text was before, where that is known: inside, None is no file.
fn change(
    record: &FileRecord,
    exactly: impl Fn(&str) -> Result<Option<Option<String>>>,
) -> Result<Vec<FileChange>> {
    let place = record.place();
    let mut changes = Vec::new();
    file::change(&place, |found| {
        let Some(text) = found else { return Ok(Outcome::Unchanged) };
        let before = match exactly(text)? {
            Some(before) => before,
            None => by_keys(record, text)?,
        };
        changes = differences(&place, Some(text), before.as_deref(), &record.edits)?;
        Ok(match before {
            None => Outcome::Removed,
            Some(before) if before == text => Outcome::Unchanged,
            Some(before) => Outcome::Text(before),
        })
    })?;
    Ok(changes)
}

/// The text with each key as it was; None when nothing but what pyro made is left.
fn by_keys(record: &FileRecord, text: &str) -> Result<Option<String>> {
    let place = record.place();
    let failed = |trouble| in_file(&place, trouble);
    let mut text = text.to_owned();
    for edit in record.edits.iter().rev() {
        let document = place.format.read(&text).map_err(failed)?;
        let Some(found) = document::at(&document, &edit.key) else { continue };
        let back = match (&edit.item, &edit.before) {
            (Some(item), _) => Edit::RemoveItem(item),
            // The server goes, however it looks by now.
            (None, _) if edit.reason == Reason::Server => Edit::Remove,
            // Somebody else wants something else there.
            (None, _) if Some(found) != edit.after.as_ref() => continue,
            (None, Some(before)) => Edit::Set(before),
            (None, None) => Edit::Remove,
        };
        text = place.format.edit(&text, &edit.key, &back).map_err(failed)?;
        text = pruned(record, edit, text)?;
    }
    let document = place.format.read(&text).map_err(failed)?;
    let template = place.format.read(&place.template).map_err(failed)?;
    Ok((!record.made || document != template).then_some(text))
}

/// Without the objects and lists that were made for a key and hold nothing any more.
fn pruned(record: &FileRecord, edit: &EditRecord, text: String) -> Result<String> {
    let place = record.place();
    let failed = |trouble| in_file(&place, trouble);
    let mut text = text;
    for depth in (edit.depth + 1..=edit.key.len()).rev() {
        let key = &edit.key[..depth];
        let document = place.format.read(&text).map_err(failed)?;
        let empty = match document::at(&document, key) {
            Some(Value::Object(fields)) => fields.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(_) => false,
            None => continue,
        };
        if !empty {
            break;
        }
        text = place.format.edit(&text, key, &Edit::Remove).map_err(failed)?;
    }
    Ok(text)
}
