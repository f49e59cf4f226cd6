//! `host_disconnect`: what connecting changed is undone, and the server is out of the chat host.

use pyro_operations::chat_host::{
    FileChange, HostDisconnect, HostDisconnected, SERVER_NAME, Scope,
};

use crate::{
    Result, Surroundings,
    apply::read,
    connect::written,
    document,
    examine::with_causes,
    hosts::Host,
    record::{Book, EditRecord, Record},
    server::CommandLine,
    undo,
    wish::{Place, Reason},
};

/// Disconnects.
///
/// # Errors
/// What cannot be read or changed. Nothing to undo is no failure.
pub fn disconnect(here: &Surroundings, request: &HostDisconnect) -> Result<HostDisconnected> {
    let host = written(request.chat_host)?;
    let name = request.name.as_deref().unwrap_or(SERVER_NAME);
    let book = Book::open(&here.records)?;
    let (mut changes, mut notices, mut found) = (Vec::new(), Vec::new(), false);
    for scope in
        Scope::ALL.iter().filter(|scope| request.scope.is_none_or(|asked| asked == **scope))
    {
        let place = host.place(here, *scope);
        let like = Record::new(host.chat_host(), *scope, name, &place.file);
        let recorded = book.find(&like);
        let key = match entry_key(host, &place, name) {
            // Nothing was ever done there, and nobody asked for it.
            Err(error) if recorded.is_none() && request.scope.is_none() => {
                notices.push(format!("left alone: failed to {}", with_causes(&error)));
                continue;
            }
            found => found?,
        };
        if recorded.is_none() && key.is_none() {
            continue;
        }
        found = true;
        if recorded.is_none() {
            notices.push(format!(
                "pyro did not record what was changed beside {}: permissions that were set for it stay",
                place.file.display()
            ));
        }
        let mut record = recorded.clone().unwrap_or(like);
        changes.extend(out(host, &mut record, &place, key)?);
        book.forget(&record)?;
    }
    Ok(HostDisconnected {
        verdict: match found {
            true => format!("{} is disconnected from `{name}`", host.chat_host()),
            false => format!(
                "{} was not connected to `{name}`; host_doctor shows what is",
                host.chat_host()
            ),
        },
        chat_host: host.chat_host(),
        name: name.to_owned(),
        changes,
        notices,
    })
}

/// The key of pyro's entry of this name, if it is there.
fn entry_key(host: &dyn Host, place: &Place, name: &str) -> Result<Option<Vec<String>>> {
    let document = read(place)?;
    let key = [host.servers(&document, None), vec![name.to_owned()]].concat();
    let line = document::at(&document, &key).and_then(|entry| host.line(entry));
    Ok(line.filter(CommandLine::is_pyro).map(|_| key))
}

fn out(
    host: &dyn Host,
    record: &mut Record,
    place: &Place,
    key: Option<Vec<String>>,
) -> Result<Vec<FileChange>> {
    match key {
        Some(key) => {
            let file = record.of_file(place);
            if !file.edits.iter().any(|edit| edit.key == key) {
                file.splices = None;
                let depth = key.len();
                let edit = EditRecord {
                    reason: Reason::Server,
                    key,
                    item: None,
                    before: None,
                    after: None,
                    depth,
                };
                file.edits.insert(0, edit);
            }
        }
        // Another's server stands there by now, or one that starts nothing.
        None => {
            let document = read(place)?;
            let servers = host.servers(&document, None);
            let key = [servers, vec![record.name.clone()]].concat();
            let theirs = document::at(&document, &key).and_then(|entry| host.line(entry));
            if theirs.is_some() {
                let file = record.of_file(place);
                file.edits.retain(|edit| edit.reason != Reason::Server);
                file.splices = None;
            }
        }
    }
    let mut changes = Vec::new();
    for file in record.files.iter().rev() {
        // A project that is gone took its files along.
        if file.within.as_ref().is_none_or(|project| project.is_dir()) {
            changes.extend(undo::all(file)?);
        }
    }
    Ok(changes)
}
