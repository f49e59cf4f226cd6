//! The journal: what was done to a workspace, in order, as light facts. Output of commands lies
//! in the spool; commands have a table of their own (`exec`).

use pyro_model::{Timestamp, WorkspaceId};
use rusqlite::{Connection, params};
use serde_json::Value;

use crate::{Store, StoreError, error::During, workspace::integer};

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The workspace was made.
    Created,
    /// Its machine was started again.
    Started,
    /// Its machine ended.
    Stopped,
    /// Its name or labels changed.
    Updated,
    /// A file was written.
    Written,
    /// A file was edited.
    Edited,
    /// A patch was applied.
    Patched,
    /// Something was exported.
    Exported,
    /// It was taken back to the baseline.
    Reset,
}

impl EventKind {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Created => "created",
            EventKind::Started => "started",
            EventKind::Stopped => "stopped",
            EventKind::Updated => "updated",
            EventKind::Written => "written",
            EventKind::Edited => "edited",
            EventKind::Patched => "patched",
            EventKind::Exported => "exported",
            EventKind::Reset => "reset",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: EventKind,
    /// Facts: paths, sizes, reasons.
    pub facts: Value,
}

impl Event {
    /// Something that happens now.
    #[must_use]
    pub fn now(kind: EventKind, facts: Value) -> Self {
        Self { at: Timestamp::now(), kind, facts }
    }
}

pub(crate) fn append(
    connection: &Connection,
    id: &WorkspaceId,
    event: &Event,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO journal (workspace, at, kind, facts) VALUES (?1, ?2, ?3, ?4)")
        .during("write the journal")?
        .execute(params![
            id.as_str(),
            integer(event.at.0),
            event.kind.as_str(),
            event.facts.to_string()
        ])
        .during("write the journal")
        .map(|_| ())
}

impl Store {
    /// Writes one event; `counts_as_activity` moves `last_activity_at`, `changes_files` makes the
    /// last diff's counts unknown. Does nothing when the workspace is gone.
    ///
    /// # Errors
    /// The database's own.
    pub fn journal(
        &mut self,
        id: &WorkspaceId,
        event: &Event,
        counts_as_activity: bool,
        changes_files: bool,
    ) -> Result<(), StoreError> {
        const STEP: &str = "write the journal";
        let transaction = self.write(STEP)?;
        let known = transaction
            .prepare_cached(
                "UPDATE workspaces SET \
                 last_activity_at = CASE WHEN ?2 THEN max(last_activity_at, ?4) ELSE last_activity_at END, \
                 changed_files = CASE WHEN ?3 THEN NULL ELSE changed_files END, \
                 patch_sha256 = CASE WHEN ?3 THEN NULL ELSE patch_sha256 END WHERE id = ?1",
            )
            .during(STEP)?
            .execute(params![id.as_str(), counts_as_activity, changes_files, integer(event.at.0)])
            .during(STEP)?;
        // Another door may have deleted it meanwhile, and its journal with it.
        if known == 1 {
            append(&transaction, id, event)?;
        }
        transaction.commit().during(STEP)
    }

    /// The last events of a workspace, newest first: kind, time and facts as stored.
    ///
    /// # Errors
    /// The database's own.
    pub fn last_events(
        &self,
        id: &WorkspaceId,
        limit: u64,
    ) -> Result<Vec<(String, Timestamp, String)>, StoreError> {
        const STEP: &str = "read the journal";
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT kind, at, facts FROM journal WHERE workspace = ?1 \
                 ORDER BY sequence DESC LIMIT ?2",
            )
            .during(STEP)?;
        let rows = statement
            .query_map(params![id.as_str(), integer(limit)], |row| {
                let at: i64 = row.get(1)?;
                Ok((row.get(0)?, Timestamp(u64::try_from(at).unwrap_or(0)), row.get(2)?))
            })
            .during(STEP)?;
        rows.map(|row| row.during(STEP)).collect()
    }
}
