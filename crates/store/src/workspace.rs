//! Records of workspaces: adding, finding, listing, changing, removing.

use pyro_model::{Isolation, Labels, MachineKind, Timestamp, WorkspaceId, WorkspaceName};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{Event, Phase, Record, Store, StoreError, error::During, journal};

/// Characters of an id prefix after `ws_`, at least.
const PREFIX_CHARACTERS: usize = 4;

/// What a reference to a workspace names.
#[derive(Debug)]
pub enum Found {
    /// This one.
    One(Box<Record>),
    /// None.
    Nothing,
    /// Several ids begin with it.
    Several(Vec<WorkspaceId>),
}

const COLUMNS: &str = "id, name, labels, phase, ephemeral, machine, isolation, environment, \
    environment_digest, run, seed_key, seed, not_enforced, network, idle_ttl_s, created_at, \
    last_activity_at, generation, changed_files, patch_sha256, exported_sha256, spool_offset, \
    state_reason";

fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM workspaces {rest}")
}

/// Turns a stored text into what it must be.
fn parsed<T>(id: &str, column: &str, value: Option<T>) -> Result<T, StoreError> {
    value.ok_or_else(|| StoreError::Damaged {
        what: format!("the record of {id}"),
        why: format!("column {column}"),
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<Record, StoreError>> {
    let id: String = row.get(0)?;
    let name: Option<String> = row.get(1)?;
    let text = |index: usize| row.get::<_, String>(index);
    let number = |index: usize| row.get::<_, i64>(index).map(|n| u64::try_from(n).unwrap_or(0));
    let maybe_number = |index: usize| {
        row.get::<_, Option<i64>>(index).map(|n| n.and_then(|n| u64::try_from(n).ok()))
    };
    let (labels, phase, machine, isolation) = (text(2)?, text(3)?, text(5)?, text(6)?);
    let (run, seed, not_enforced) = (text(9)?, text(11)?, text(12)?);
    let environment = text(7)?;
    let environment_digest = row.get(8)?;
    let seed_key = row.get(10)?;
    let network = text(13)?;
    let (idle_ttl_s, created_at, last_activity_at) = (number(14)?, number(15)?, number(16)?);
    let (generation, changed_files) = (number(17)?, maybe_number(18)?);
    let (patch_sha256, exported_sha256, spool_offset) = (row.get(19)?, row.get(20)?, number(21)?);
    let (ephemeral, state_reason) = (row.get(4)?, row.get(22)?);
    let build = || -> Result<Record, StoreError> {
        Ok(Record {
            id: parsed(&id, "id", id.parse().ok())?,
            name: match name {
                None => None,
                Some(name) => Some(parsed(&id, "name", name.parse().ok())?),
            },
            labels: parsed(&id, "labels", serde_json::from_str::<Labels>(&labels).ok())?,
            phase: parsed(&id, "phase", Phase::parse(&phase))?,
            ephemeral,
            machine: parsed(&id, "machine", MachineKind::parse(&machine))?,
            isolation: parsed(&id, "isolation", Isolation::parse(&isolation))?,
            environment,
            environment_digest,
            run: parsed(&id, "run", serde_json::from_str(&run).ok())?,
            seed_key,
            seed: parsed(&id, "seed", serde_json::from_str(&seed).ok())?,
            not_enforced: parsed(&id, "not_enforced", serde_json::from_str(&not_enforced).ok())?,
            network,
            idle_ttl_s,
            created_at: Timestamp(created_at),
            last_activity_at: Timestamp(last_activity_at),
            generation,
            changed_files,
            patch_sha256,
            exported_sha256,
            spool_offset,
            state_reason,
        })
    };
    Ok(build())
}

pub(crate) fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl Store {
    /// Adds a workspace, unless its name is taken or there are `most` already.
    ///
    /// # Errors
    /// `NameTaken`, `TooMany`, or the database's own.
    pub fn insert(&mut self, record: &Record, most: u64) -> Result<(), StoreError> {
        const STEP: &str = "insert the workspace";
        let transaction = self.write(STEP)?;
        let count: i64 = transaction
            .query_row("SELECT count(*) FROM workspaces", [], |row| row.get(0))
            .during(STEP)?;
        let count = u64::try_from(count).unwrap_or(0);
        if count >= most {
            return Err(StoreError::TooMany { count, most });
        }
        if let Some(name) = &record.name {
            name_is_free(&transaction, name, &record.id)?;
        }
        transaction
            .prepare_cached(&format!(
                "INSERT INTO workspaces ({COLUMNS}) VALUES \
                 (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23)"
            ))
            .during(STEP)?
            .execute(params![
                record.id.as_str(),
                record.name.as_ref().map(WorkspaceName::as_str),
                json(&record.labels),
                record.phase.as_str(),
                record.ephemeral,
                record.machine.as_str(),
                record.isolation.as_str(),
                record.environment,
                record.environment_digest,
                json(&record.run),
                record.seed_key,
                json(&record.seed),
                json(&record.not_enforced),
                record.network,
                integer(record.idle_ttl_s),
                integer(record.created_at.0),
                integer(record.last_activity_at.0),
                integer(record.generation),
                record.changed_files.map(integer),
                record.patch_sha256,
                record.exported_sha256,
                integer(record.spool_offset),
                record.state_reason,
            ])
            .during(STEP)?;
        transaction.commit().during(STEP)
    }

    /// Finds by exact id, then exact name, then a unique prefix of an id.
    ///
    /// # Errors
    /// The database's own, or a damaged record.
    pub fn find(&self, reference: &str) -> Result<Found, StoreError> {
        const STEP: &str = "look the workspace up";
        if let Ok(id) = reference.parse::<WorkspaceId>() {
            return Ok(self
                .get(&id)?
                .map_or(Found::Nothing, |record| Found::One(Box::new(record))));
        }
        let by_name = self
            .connection
            .prepare_cached(&select("WHERE name = ?1"))
            .during(STEP)?
            .query_row([reference], read)
            .optional()
            .during(STEP)?;
        if let Some(record) = by_name {
            return Ok(Found::One(Box::new(record?)));
        }
        let body = reference.strip_prefix(WorkspaceId::PREFIX).unwrap_or("");
        if body.len() < PREFIX_CHARACTERS || !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Ok(Found::Nothing);
        }
        let mut statement =
            self.connection.prepare_cached(&select("WHERE id GLOB ?1 LIMIT 10")).during(STEP)?;
        let rows = statement.query_map([format!("{reference}*")], read).during(STEP)?;
        let mut records = Vec::new();
        for row in rows {
            records.push(row.during(STEP)??);
        }
        Ok(match records.len() {
            0 => Found::Nothing,
            1 => Found::One(Box::new(records.swap_remove(0))),
            _ => Found::Several(records.into_iter().map(|record| record.id).collect()),
        })
    }

    /// The workspace with this id.
    ///
    /// # Errors
    /// The database's own, or a damaged record.
    pub fn get(&self, id: &WorkspaceId) -> Result<Option<Record>, StoreError> {
        const STEP: &str = "look the workspace up";
        self.connection
            .prepare_cached(&select("WHERE id = ?1"))
            .during(STEP)?
            .query_row([id.as_str()], read)
            .optional()
            .during(STEP)?
            .transpose()
    }

    /// All workspaces, newest activity first.
    ///
    /// # Errors
    /// The database's own, or a damaged record.
    pub fn all(&self) -> Result<Vec<Record>, StoreError> {
        self.several("ORDER BY last_activity_at DESC, id")
    }

    /// Those in the middle of a change.
    ///
    /// # Errors
    /// The database's own, or a damaged record.
    pub fn in_change(&self) -> Result<Vec<Record>, StoreError> {
        self.several("WHERE phase <> 'live'")
    }

    fn several(&self, rest: &str) -> Result<Vec<Record>, StoreError> {
        const STEP: &str = "list the workspaces";
        let mut statement = self.connection.prepare_cached(&select(rest)).during(STEP)?;
        let rows = statement.query_map([], read).during(STEP)?;
        rows.map(|row| row.during(STEP)?).collect()
    }

    /// Sets where a workspace is in a change, with the event that says so. `false` when it is gone.
    ///
    /// # Errors
    /// The database's own.
    pub fn set_phase(
        &mut self,
        id: &WorkspaceId,
        phase: Phase,
        event: Option<&Event>,
    ) -> Result<bool, StoreError> {
        const STEP: &str = "change the workspace's phase";
        let transaction = self.write(STEP)?;
        let changed = transaction
            .execute(
                "UPDATE workspaces SET phase = ?2 WHERE id = ?1",
                params![id.as_str(), phase.as_str()],
            )
            .during(STEP)?;
        if let (Some(event), 1) = (event, changed) {
            journal::append(&transaction, id, event)?;
        }
        transaction.commit().during(STEP)?;
        Ok(changed == 1)
    }

    /// Begins a reset: the phase, and the generation that names its trash.
    ///
    /// # Errors
    /// The database's own.
    pub fn begin_reset(&mut self, id: &WorkspaceId) -> Result<u64, StoreError> {
        const STEP: &str = "begin the reset";
        let transaction = self.write(STEP)?;
        transaction
            .execute(
                "UPDATE workspaces SET generation = generation + (phase <> 'resetting'), \
                 phase = 'resetting' WHERE id = ?1",
                [id.as_str()],
            )
            .during(STEP)?;
        let generation: i64 = transaction
            .query_row("SELECT generation FROM workspaces WHERE id = ?1", [id.as_str()], |r| {
                r.get(0)
            })
            .during(STEP)?;
        transaction.commit().during(STEP)?;
        Ok(u64::try_from(generation).unwrap_or(0))
    }

    /// Ends a reset: nothing is changed any more, and the event.
    ///
    /// # Errors
    /// The database's own.
    pub fn end_reset(&mut self, id: &WorkspaceId, event: &Event) -> Result<(), StoreError> {
        const STEP: &str = "end the reset";
        let transaction = self.write(STEP)?;
        transaction
            .execute(
                "UPDATE workspaces SET phase = 'live', changed_files = 0, patch_sha256 = NULL, \
                 state_reason = NULL, last_activity_at = ?2 WHERE id = ?1",
                params![id.as_str(), integer(event.at.0)],
            )
            .during(STEP)?;
        journal::append(&transaction, id, event)?;
        transaction.commit().during(STEP)
    }

    /// Writes name and labels. `false` when the workspace is gone.
    ///
    /// # Errors
    /// `NameTaken`, or the database's own.
    pub fn update_names(&mut self, record: &Record, event: &Event) -> Result<bool, StoreError> {
        const STEP: &str = "update the workspace";
        let transaction = self.write(STEP)?;
        if let Some(name) = &record.name {
            name_is_free(&transaction, name, &record.id)?;
        }
        let changed = transaction
            .execute(
                "UPDATE workspaces SET name = ?2, labels = ?3 WHERE id = ?1",
                params![
                    record.id.as_str(),
                    record.name.as_ref().map(WorkspaceName::as_str),
                    json(&record.labels)
                ],
            )
            .during(STEP)?;
        if changed == 1 {
            journal::append(&transaction, &record.id, event)?;
        }
        transaction.commit().during(STEP)?;
        Ok(changed == 1)
    }

    /// Notes what the last diff found.
    ///
    /// # Errors
    /// The database's own.
    pub fn note_changes(
        &mut self,
        id: &WorkspaceId,
        changed_files: u64,
        patch_sha256: &str,
    ) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE workspaces SET changed_files = ?2, patch_sha256 = ?3 WHERE id = ?1",
                params![id.as_str(), integer(changed_files), patch_sha256],
            )
            .during("note the changes")
            .map(|_| ())
    }

    /// Notes that files may have changed since the last diff.
    ///
    /// # Errors
    /// The database's own.
    pub fn forget_changes(&mut self, id: &WorkspaceId) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE workspaces SET changed_files = NULL, patch_sha256 = NULL WHERE id = ?1",
                [id.as_str()],
            )
            .during("forget the changes")
            .map(|_| ())
    }

    /// Notes that the whole patch was exported.
    ///
    /// # Errors
    /// The database's own.
    pub fn note_export(&mut self, id: &WorkspaceId, patch_sha256: &str) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE workspaces SET exported_sha256 = ?2 WHERE id = ?1",
                params![id.as_str(), patch_sha256],
            )
            .during("note the export")
            .map(|_| ())
    }

    /// Notes how strongly the machine that just started isolates, and how its bounds are kept.
    ///
    /// # Errors
    /// The database's own.
    pub fn note_machine(
        &mut self,
        id: &WorkspaceId,
        isolation: Isolation,
        not_enforced: &serde_json::Value,
    ) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE workspaces SET isolation = ?2, not_enforced = ?3 WHERE id = ?1",
                params![id.as_str(), isolation.as_str(), json(not_enforced)],
            )
            .during("note the machine")
            .map(|_| ())
    }

    /// Makes an ephemeral workspace one that stays until its command was answered.
    ///
    /// # Errors
    /// The database's own.
    pub fn remove(&mut self, id: &WorkspaceId) -> Result<(), StoreError> {
        self.connection
            .execute("DELETE FROM workspaces WHERE id = ?1", [id.as_str()])
            .during("remove the workspace")
            .map(|_| ())
    }

    /// Which of these are still in use: environments' digests and seeds' keys.
    ///
    /// # Errors
    /// The database's own.
    pub fn layers_in_use(&self) -> Result<(Vec<String>, Vec<String>), StoreError> {
        const STEP: &str = "list the layers in use";
        let column = |sql: &str| -> Result<Vec<String>, StoreError> {
            let mut statement = self.connection.prepare_cached(sql).during(STEP)?;
            let rows = statement.query_map([], |row| row.get(0)).during(STEP)?;
            rows.map(|row| row.during(STEP)).collect()
        };
        Ok((
            column(
                "SELECT DISTINCT environment_digest FROM workspaces WHERE environment_digest IS NOT NULL",
            )?,
            column("SELECT DISTINCT seed_key FROM workspaces WHERE seed_key IS NOT NULL")?,
        ))
    }
}

fn name_is_free(
    connection: &Connection,
    name: &WorkspaceName,
    id: &WorkspaceId,
) -> Result<(), StoreError> {
    let taken_by: Option<String> = connection
        .query_row(
            "SELECT id FROM workspaces WHERE name = ?1 AND id <> ?2",
            params![name.as_str(), id.as_str()],
            |row| row.get(0),
        )
        .optional()
        .during("look the name up")?;
    match taken_by {
        None => Ok(()),
        Some(taken_by) => Err(StoreError::NameTaken { name: name.as_str().to_owned(), taken_by }),
    }
}
