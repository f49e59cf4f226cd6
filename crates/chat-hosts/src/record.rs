//! What connecting changed, in pyro's home: one file for each server, written before the chat
//! host's files are. Disconnecting undoes exactly that, repairing knows what was asked for.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use pyro_operations::chat_host::{ChatHost, Scope};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ChatHostError, Result,
    change::{Splice, digest},
    document::Format,
    wish::{Place, Reason},
};

/// One server that was connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) chat_host: ChatHost,
    pub(crate) scope: Scope,
    pub(crate) name: String,
    /// The file that names the server, as it was looked for.
    pub(crate) file: PathBuf,
    /// What the chat host starts.
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    /// Projects in which the chat host's own tools are denied.
    pub(crate) only: Vec<PathBuf>,
    /// pyro's tools are called without asking.
    pub(crate) allow: bool,
    /// Files that were changed.
    pub(crate) files: Vec<FileRecord>,
}

/// What was changed in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    pub(crate) file: PathBuf,
    pub(crate) format: Format,
    pub(crate) within: Option<PathBuf>,
    pub(crate) template: String,
    /// It was not there before.
    pub(crate) made: bool,
    /// Nor were these.
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) edits: Vec<EditRecord>,
    /// From the first text to the one with this digest; None once somebody else wrote in between.
    pub(crate) splices: Option<Vec<Splice>>,
    pub(crate) digest: String,
}

/// One key that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EditRecord {
    pub(crate) reason: Reason,
    pub(crate) key: Vec<String>,
    /// Only this item of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) item: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<Value>,
    /// How many leading parts of the key were there before.
    pub(crate) depth: usize,
}

const VERSION: u32 = 1;

impl Record {
    pub(crate) fn new(chat_host: ChatHost, scope: Scope, name: &str, file: &Path) -> Self {
        Self {
            version: VERSION,
            chat_host,
            scope,
            name: name.to_owned(),
            file: file.to_path_buf(),
            program: String::new(),
            arguments: Vec::new(),
            only: Vec::new(),
            allow: false,
            files: Vec::new(),
        }
    }

    /// What was changed in a file.
    pub(crate) fn of_file(&mut self, place: &Place) -> &mut FileRecord {
        let at = match self.files.iter().position(|found| found.file == place.file) {
            Some(at) => at,
            None => {
                self.files.push(FileRecord {
                    file: place.file.clone(),
                    format: place.format,
                    within: place.within.clone(),
                    template: place.template.clone(),
                    made: false,
                    directories: Vec::new(),
                    edits: Vec::new(),
                    splices: Some(Vec::new()),
                    digest: String::new(),
                });
                self.files.len() - 1
            }
        };
        &mut self.files[at]
    }

    fn file_name(&self) -> String {
        let of = format!("{}\n{}\n{}", self.scope.as_str(), self.file.display(), self.name);
        format!("{}-{}.json", self.chat_host, &digest(&of)[..16])
    }
}

impl FileRecord {
    pub(crate) fn place(&self) -> Place {
        Place {
            file: self.file.clone(),
            format: self.format,
            within: self.within.clone(),
            template: self.template.clone(),
        }
    }
}

/// Every record of a home, for one caller at a time.
pub(crate) struct Book {
    folder: PathBuf,
    // Locked as long as it is open.
    _lock: File,
}

impl Book {
    /// Opens the book, making it on first use, and waits for whoever has it.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(|error| ChatHostError::file("make", folder, error))?;
        let lock = File::open(folder).map_err(|e| ChatHostError::file("open", folder, e))?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| ChatHostError::file("lock", folder, error.into()))?;
        Ok(Self { folder: folder.to_path_buf(), _lock: lock })
    }

    /// Every record. One that cannot be read is left out: the chat host's files then speak alone.
    pub(crate) fn records(&self) -> Result<Vec<Record>> {
        let failed = |error| ChatHostError::file("read", &self.folder, error);
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                records.extend(read(&path));
            }
        }
        records.sort_by(|a: &Record, b| {
            (a.chat_host, a.scope, &a.name).cmp(&(b.chat_host, b.scope, &b.name))
        });
        Ok(records)
    }

    /// The record of a server.
    pub(crate) fn find(&self, like: &Record) -> Option<Record> {
        read(&self.folder.join(like.file_name()))
    }

    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let path = self.folder.join(record.file_name());
        let failed = |error| ChatHostError::file("write", &path, error);
        let text = serde_json::to_vec_pretty(record)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let mut new = tempfile::NamedTempFile::new_in(&self.folder).map_err(failed)?;
        new.write_all(&text).and_then(|()| new.as_file().sync_all()).map_err(failed)?;
        new.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    pub(crate) fn forget(&self, record: &Record) -> Result<()> {
        let path = self.folder.join(record.file_name());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(ChatHostError::file("remove", &path, error))
            }
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> Option<Record> {
    let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (record.version == VERSION).then_some(record)
}
