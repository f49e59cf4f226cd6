//! One configuration file of a chat host: read under a lock, written as a whole or not at all.
//!
//! The lock is on the file's directory, so that nothing is left lying beside it and it outlives the
//! rename. A link is followed to its target, within the project where the file is a project's. A
//! program that does not know the lock may still write: what changed since it was read is seen
//! right before the rename, and the change is made again on the new text.

mod open;
mod replace;

use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use pyro_model::Timestamp;
use rustix::{
    fs::{self, AtFlags, Mode, OFlags},
    io::Errno,
};

use self::{
    open::{make_directories, open, open_directory, resolve, state},
    replace::write,
};
use crate::{ChatHostError, Result, wish::Place};

/// No chat host's file is larger; what is, is something else.
const MOST_BYTES: u64 = 16 << 20;
/// How often a change is made again because another program wrote in between.
const TRIES: usize = 8;
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What a change makes of a text.
pub(crate) enum Outcome {
    /// It stays as it is.
    Unchanged,
    /// This instead.
    Text(String),
    /// No file at all.
    Removed,
}

/// The text of a file as it is now; None when there is none.
pub(crate) fn read(place: &Place) -> Result<Option<String>> {
    let Some(real) = resolve(place)? else { return Ok(None) };
    let Some(directory) = open_directory(place, &real, false)? else { return Ok(None) };
    Ok(state(&real, &directory)?.map(|state| state.text))
}

/// Changes a file under its lock. `change` is asked again when somebody wrote in between; it gets
/// the text, None when there is no file, and says what comes of it. Returns directories that were
/// made for it.
pub(crate) fn change(
    place: &Place,
    mut change: impl FnMut(Option<&str>) -> Result<Outcome>,
) -> Result<Vec<PathBuf>> {
    let real = match resolve(place)? {
        Some(real) => real,
        None => place.file.clone(),
    };
    let mut made = Vec::new();
    if open_directory(place, &real, false)?.is_none() {
        // Nothing is made for a change that does not come.
        if matches!(change(None)?, Outcome::Unchanged | Outcome::Removed) {
            return Ok(made);
        }
        made = make_directories(place)?;
    }
    let real = resolve(place)?.unwrap_or(real);
    let Some(directory) = open_directory(place, &real, true)? else {
        let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(ChatHostError::file("open the directory of", &real, gone));
    };
    for _ in 0..TRIES {
        let found = state(&real, &directory)?;
        match change(found.as_ref().map(|state| state.text.as_str()))? {
            Outcome::Unchanged => return Ok(made),
            Outcome::Text(text) => {
                if write(place, &real, &directory, found.as_ref(), &text)? {
                    return Ok(made);
                }
            }
            Outcome::Removed => {
                if found.is_some() {
                    fs::unlinkat(&directory, name(&real), AtFlags::empty())
                        .map_err(|error| failed("remove", &real, error))?;
                }
                return Ok(made);
            }
        }
    }
    Err(ChatHostError::Unfit {
        path: real,
        why: "another program keeps writing it".to_owned(),
        hint: "close the chat host, then try again".to_owned(),
    })
}

/// A copy beside the file, under a name that nothing has.
pub(crate) fn back_up(place: &Place) -> Result<Option<PathBuf>> {
    let Some(real) = resolve(place)? else { return Ok(None) };
    let Some(directory) = open_directory(place, &real, true)? else { return Ok(None) };
    let Some((file, _)) = open(&real, &directory)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let copied = file.take(MOST_BYTES).read_to_end(&mut bytes);
    copied.map_err(|error| ChatHostError::file("read", &real, error))?;
    let stamp: String =
        Timestamp::now().to_string().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let mut name = name(&real).to_os_string();
    name.push(format!(".pyro-backup-{stamp}"));
    let path = real.with_file_name(&name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let copy = fs::openat(&directory, name.as_os_str(), flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| failed("make", &path, error))?;
    let mut copy = File::from(copy);
    copy.write_all(&bytes)
        .and_then(|()| copy.sync_all())
        .map_err(|error| ChatHostError::file("write", &path, error))?;
    Ok(Some(path))
}

/// Removes directories that were made for a file, as far as they are empty.
pub(crate) fn remove_directories(directories: &[PathBuf]) {
    for directory in directories.iter().rev() {
        // One that holds something is somebody's by now.
        let _ = std::fs::remove_dir(directory);
    }
}

fn failed(step: &'static str, path: &Path, error: Errno) -> ChatHostError {
    ChatHostError::file(step, path, error.into())
}

fn name(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}

fn unfit(path: &Path, why: &str, hint: &str) -> ChatHostError {
    ChatHostError::Unfit { path: path.to_path_buf(), why: why.to_owned(), hint: hint.to_owned() }
}

const BY_HAND: &str = "mend that, or put in by hand what host_print_config prints";
