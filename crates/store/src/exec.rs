//! Records of commands, brought over from what agents wrote down.

use pyro_model::{ExecId, ExecState, Timestamp, WorkspaceId};
use rusqlite::{OptionalExtension, Row, params};

use crate::{Store, StoreError, error::During, workspace::integer};

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRecord {
    /// Its id.
    pub id: ExecId,
    /// The line, as the caller gave it.
    pub command: String,
    /// Where it ran, absolute inside.
    pub cwd: String,
    /// How it stands.
    pub state: ExecState,
    /// Only when it exited by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// When it was started.
    pub started_at: Timestamp,
    /// How long it ran.
    pub duration_ms: Option<u64>,
    /// All that it wrote.
    pub stdout_bytes: u64,
    /// All that it wrote.
    pub stderr_bytes: u64,
}

/// What one reading of an agent's log brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    /// Where the reading began.
    pub from: u64,
    /// Where it ended.
    pub to: u64,
    /// Commands, each as it stands now; new ones whole, known ones with their end.
    pub execs: Vec<ExecRecord>,
    /// Commands that still run in the records but cannot any more: their machine is gone.
    pub lost_before: Option<Timestamp>,
    /// The last thing in it that counts as use.
    pub last_activity_at: Option<Timestamp>,
    /// What became of the machine last.
    pub machine: Option<MachineNote>,
}

/// What became of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineNote {
    /// It was started, or ended because it was told to.
    Well,
    /// It ended without being told to, for this reason.
    EndedFor(String),
}

const COLUMNS: &str = "id, command, cwd, state, exit_code, signal, started_at, duration_ms, \
    stdout_bytes, stderr_bytes";

fn read(row: &Row<'_>) -> rusqlite::Result<Result<ExecRecord, StoreError>> {
    let id: String = row.get(0)?;
    let state: String = row.get(3)?;
    let number = |index: usize| row.get::<_, i64>(index).map(|n| u64::try_from(n).unwrap_or(0));
    let (Ok(exec), Some(state)) = (id.parse(), ExecState::parse(&state)) else {
        return Ok(Err(StoreError::Damaged {
            what: format!("the record of command {id}"),
            why: "its id or state".to_owned(),
        }));
    };
    Ok(Ok(ExecRecord {
        id: exec,
        command: row.get(1)?,
        cwd: row.get(2)?,
        state,
        exit_code: row.get(4)?,
        signal: row.get(5)?,
        started_at: Timestamp(number(6)?),
        duration_ms: row.get::<_, Option<i64>>(7)?.and_then(|n| u64::try_from(n).ok()),
        stdout_bytes: number(8)?,
        stderr_bytes: number(9)?,
    }))
}

impl Store {
    /// Brings over what was read of an agent's log, unless another door did meanwhile.
    ///
    /// # Errors
    /// The database's own.
    pub fn import(&mut self, id: &WorkspaceId, import: &Import) -> Result<bool, StoreError> {
        const STEP: &str = "bring the commands over";
        let transaction = self.write(STEP)?;
        let moved = transaction
            .prepare_cached(
                "UPDATE workspaces SET spool_offset = ?3, \
                 last_activity_at = max(last_activity_at, ?4) WHERE id = ?1 AND spool_offset = ?2",
            )
            .during(STEP)?
            .execute(params![
                id.as_str(),
                integer(import.from),
                integer(import.to),
                integer(import.last_activity_at.map_or(0, |at| at.0)),
            ])
            .during(STEP)?;
        if moved == 0 {
            return Ok(false);
        }
        if let Some(note) = &import.machine {
            let reason = match note {
                MachineNote::Well => None,
                MachineNote::EndedFor(reason) => Some(reason),
            };
            transaction
                .prepare_cached("UPDATE workspaces SET state_reason = ?2 WHERE id = ?1")
                .during(STEP)?
                .execute(params![id.as_str(), reason])
                .during(STEP)?;
        }
        let mut touched = !import.execs.is_empty();
        if let Some(before) = import.lost_before {
            let lost = transaction
                .execute(
                    "UPDATE execs SET state = 'lost' WHERE workspace = ?1 AND state = 'running' \
                     AND started_at <= ?2",
                    params![id.as_str(), integer(before.0)],
                )
                .during(STEP)?;
            touched |= lost > 0;
        }
        if touched {
            // A command may have changed anything; the start of a machine changes nothing.
            transaction
                .prepare_cached(
                    "UPDATE workspaces SET changed_files = NULL, patch_sha256 = NULL WHERE id = ?1",
                )
                .during(STEP)?
                .execute([id.as_str()])
                .during(STEP)?;
        }
        for exec in &import.execs {
            transaction
                .prepare_cached(&format!(
                    "INSERT INTO execs (workspace, {COLUMNS}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11) \
                     ON CONFLICT (id) DO UPDATE SET state = excluded.state, \
                     exit_code = excluded.exit_code, signal = excluded.signal, \
                     duration_ms = excluded.duration_ms, stdout_bytes = excluded.stdout_bytes, \
                     stderr_bytes = excluded.stderr_bytes \
                     WHERE execs.workspace = excluded.workspace"
                ))
                .during(STEP)?
                .execute(params![
                    id.as_str(),
                    exec.id.as_str(),
                    exec.command,
                    exec.cwd,
                    exec.state.as_str(),
                    exec.exit_code,
                    exec.signal,
                    integer(exec.started_at.0),
                    exec.duration_ms.map(integer),
                    integer(exec.stdout_bytes),
                    integer(exec.stderr_bytes),
                ])
                .during(STEP)?;
        }
        transaction.commit().during(STEP)?;
        Ok(true)
    }

    /// Marks commands that still run in the records as `state`: their machine is gone.
    ///
    /// # Errors
    /// The database's own.
    pub fn end_running(&mut self, id: &WorkspaceId, state: ExecState) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE execs SET state = ?2 WHERE workspace = ?1 AND state = 'running'",
                params![id.as_str(), state.as_str()],
            )
            .during("end the commands")
            .map(|_| ())
    }

    /// Marks one command, if it still runs in the records.
    ///
    /// # Errors
    /// The database's own.
    pub fn end_one(
        &mut self,
        id: &WorkspaceId,
        exec: &ExecId,
        state: ExecState,
    ) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE execs SET state = ?3 WHERE workspace = ?1 AND id = ?2 AND state = 'running'",
                params![id.as_str(), exec.as_str(), state.as_str()],
            )
            .during("end the command")
            .map(|_| ())
    }

    /// One command of a workspace.
    ///
    /// # Errors
    /// The database's own, or a damaged record.
    pub fn exec(&self, id: &WorkspaceId, exec: &ExecId) -> Result<Option<ExecRecord>, StoreError> {
        const STEP: &str = "look the command up";
        self.connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM execs WHERE workspace = ?1 AND id = ?2"
            ))
            .during(STEP)?
            .query_row(params![id.as_str(), exec.as_str()], read)
            .optional()
            .during(STEP)?
            .transpose()
    }

    /// Commands of a workspace, newest first.
    ///
    /// # Errors
    /// The database's own, or a damaged record.
    pub fn execs(
        &self,
        id: &WorkspaceId,
        skip: u64,
        limit: u64,
    ) -> Result<Vec<ExecRecord>, StoreError> {
        const STEP: &str = "list the commands";
        let mut statement = self
            .connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM execs WHERE workspace = ?1 \
                 ORDER BY started_at DESC, rowid DESC LIMIT ?2 OFFSET ?3"
            ))
            .during(STEP)?;
        let rows = statement
            .query_map(params![id.as_str(), integer(limit), integer(skip)], read)
            .during(STEP)?;
        rows.map(|row| row.during(STEP)?).collect()
    }

    /// Commands that run, by the records.
    ///
    /// # Errors
    /// The database's own.
    pub fn running(&self, id: &WorkspaceId) -> Result<Vec<String>, StoreError> {
        const STEP: &str = "list the running commands";
        let mut statement = self
            .connection
            .prepare_cached("SELECT id FROM execs WHERE workspace = ?1 AND state = 'running'")
            .during(STEP)?;
        let rows = statement.query_map([id.as_str()], |row| row.get(0)).during(STEP)?;
        rows.map(|row| row.during(STEP)).collect()
    }
}
