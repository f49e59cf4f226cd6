//! A server made what it should be, with what denies and allows tools: the one way in which connecting
//! and repairing write.

use pyro_operations::chat_host::{FileChange, Scope};
use serde_json::Value;

use crate::{
    ChatHostError, Result, Surroundings,
    apply::{apply, make, read},
    document, file,
    hosts::Host,
    record::{Book, EditRecord, Record},
    server::CommandLine,
    trial, undo,
    wish::{Place, Reason, Want, Wish, Wishes},
};

/// What a server should be.
pub(crate) struct Target<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) scope: Scope,
    pub(crate) name: &'a str,
    pub(crate) line: CommandLine,
    /// In this project, deny the chat host its own tools.
    pub(crate) only: bool,
    pub(crate) allow: bool,
    /// What cannot be read is copied and written anew, instead of being refused.
    pub(crate) afresh: bool,
}

/// What was done to get there.
pub(crate) struct Reached {
    pub(crate) place: Place,
    /// The chat host's own words, where it was asked how its entry looks.
    pub(crate) made_by: Option<String>,
    pub(crate) changes: Vec<FileChange>,
    pub(crate) backups: Vec<String>,
}

/// Makes a server what it should be. All files are tried before the first is written.
pub(crate) fn reach(here: &Surroundings, book: &Book, target: &Target<'_>) -> Result<Reached> {
    let (host, scope, name) = (target.host, target.scope, target.name);
    let project = here.project();
    if target.only && [here.user_home.as_path(), "/".as_ref()].contains(&project.as_path()) {
        return Err(ChatHostError::Unsuitable {
            step: "deny the chat host's own tools",
            why: format!("{} is not a project", project.display()),
            hint: "run it in the folder of a project".to_owned(),
        });
    }
    let place = host.place(here, scope);
    let mut backups = Vec::new();
    let mut anew = Vec::new();
    let document = usable(&place, target.afresh, &mut anew)?;
    let program = here.program(host.program());
    let version = match (&program, host.own_add(name, &target.line)) {
        // Only where the form of its file depends on it.
        (Some(program), None) => trial::version(here, program),
        _ => None,
    };
    let servers = host.servers(&document, version.as_deref());
    let key = [servers.as_slice(), &[name.to_owned()]].concat();
    let found = document::at(&document, &key);
    let new = Record::new(host.chat_host(), scope, name, &place.file);
    let known = book.find(&new);
    let mut made_by = None;
    let mut wishes = match found {
        Some(found) => mends(found, target, &place, known.is_some())?,
        None => {
            let own = program
                .as_ref()
                .and_then(|program| trial::entry(here, host, program, name, &target.line));
            made_by = own.as_ref().map(|_| format!("{} mcp add", host.program()));
            let entry = own.unwrap_or_else(|| host.entry(&target.line));
            vec![Wish::new(Reason::Server, &[], Want::Is(entry))]
        }
    };
    wishes = wishes.into_iter().map(|wish| wish.below(&key)).collect();
    let mut files = vec![Wishes { place: place.clone(), wishes }];
    if target.allow {
        host.allow(here, scope, name, &servers).into_iter().for_each(|more| join(&mut files, more));
    }
    if target.only {
        join(&mut files, host.only(&project));
    }
    for wishes in &files {
        let document = usable(&wishes.place, target.afresh, &mut anew)?;
        if !document.is_null() {
            let text = file::read(&wishes.place)?.unwrap_or_default();
            if !anew.contains(&wishes.place) {
                make(&wishes.place, &text, &wishes.wishes)?;
            }
        }
    }

    let mut record = known.unwrap_or(new);
    record.program.clone_from(&target.line.program);
    record.arguments.clone_from(&target.line.arguments);
    let mut changes = unwanted(here, &mut record, target)?;
    record.allow = target.allow;
    record.only.retain(|known| *known != project);
    if target.only {
        record.only.push(project);
    }
    book.save(&record)?;
    for place in &anew {
        backups.extend(file::back_up(place)?.map(|path| path.display().to_string()));
    }
    for wishes in &files {
        let afresh = anew.contains(&wishes.place);
        if afresh {
            // What was there is in the copy: nothing of it can come back.
            record.files.retain(|known| known.file != wishes.place.file);
        }
        changes.extend(apply(book, &mut record, wishes, afresh)?);
    }
    if found.is_some() {
        adopt(&mut record, &place, &key);
    }
    book.save(&record)?;
    Ok(Reached { place, made_by, changes, backups })
}

/// The document of a file. One that cannot be read is named in `anew` where that is allowed.
fn usable(place: &Place, afresh: bool, anew: &mut Vec<Place>) -> Result<Value> {
    match read(place) {
        Err(error) if afresh && error.is_text() => {
            if !anew.contains(place) {
                anew.push(place.clone());
            }
            Ok(Value::Object(serde_json::Map::new()))
        }
        found => found,
    }
}

/// What makes an entry that is there the server, if it is pyro's at all.
fn mends(found: &Value, target: &Target<'_>, place: &Place, known: bool) -> Result<Vec<Wish>> {
    let host = target.host;
    let line = host.line(found);
    // Where pyro's was set up, one that starts nothing any more is what somebody made of it.
    let ours = line.as_ref().map_or(target.afresh && known, CommandLine::is_pyro);
    if !ours {
        return Err(ChatHostError::Taken {
            chat_host: host.chat_host(),
            name: target.name.to_owned(),
            path: place.file.clone(),
        });
    }
    Ok(host.mends(found, &as_spelled(line.as_ref(), &target.line)))
}

/// The wanted line, with the arguments that are there if they say the same.
pub(crate) fn as_spelled(found: Option<&CommandLine>, wanted: &CommandLine) -> CommandLine {
    let told = found.and_then(CommandLine::told);
    match (found, told, wanted.told()) {
        (Some(found), Some(told), Some(want)) if told.is(&want) => {
            CommandLine { program: wanted.program.clone(), arguments: found.arguments.clone() }
        }
        _ => wanted.clone(),
    }
}

/// Undoes what was asked for once and is not any more.
fn unwanted(
    here: &Surroundings,
    record: &mut Record,
    target: &Target<'_>,
) -> Result<Vec<FileChange>> {
    let mut changes = Vec::new();
    let only = target.host.only(&here.project()).place;
    for file in &mut record.files {
        if record.allow && !target.allow {
            changes.extend(undo::some(file, Reason::Allow)?);
        }
        if !target.only && file.file == only.file {
            changes.extend(undo::some(file, Reason::Only)?);
        }
    }
    record.files.retain(|file| !file.edits.is_empty());
    Ok(changes)
}

/// An entry that was there before is pyro's now: disconnecting takes all of it out.
fn adopt(record: &mut Record, place: &Place, key: &[String]) {
    let file = record.of_file(place);
    if file.edits.iter().any(|edit| edit.key == key) {
        return;
    }
    file.splices = None;
    file.edits.insert(
        0,
        EditRecord {
            reason: Reason::Server,
            key: key.to_vec(),
            item: None,
            before: None,
            after: None,
            depth: key.len(),
        },
    );
}

fn join(files: &mut Vec<Wishes>, more: Wishes) {
    match files.iter_mut().find(|known| known.place.file == more.place.file) {
        Some(known) => known.wishes.extend(more.wishes),
        None => files.push(more),
    }
}
