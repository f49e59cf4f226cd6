//! The database: opened in a fraction of a millisecond, closed without a checkpoint.
//!
//! WAL, so readers never wait; `synchronous=NORMAL`, so a power loss can take the last
//! transactions but never tears one. The format is the number of migrations run.

use std::{fs::File, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};
use rusqlite_migration::{M, Migrations};

use crate::{Layout, StoreError, error::During};

/// The migrations, oldest first. A released one is never changed.
const MIGRATIONS: &[M<'static>] =
    &[M::up(include_str!("migrations/1.sql")), M::up(include_str!("migrations/2.sql"))];

/// Bytes of the log past which closing moves it into the database and empties it. A call that is
/// alone reads the whole log when it opens the database, about 2 µs for each page of 4 KiB; moving
/// it costs two syncs of the disk.
const LOG_BYTES: u64 = 512 << 10;

/// How long a write waits for another process's write.
const BUSY: Duration = Duration::from_secs(10);

/// The records and the journal of one home.
#[derive(Debug)]
pub struct Store {
    pub(crate) connection: Connection,
    layout: Layout,
}

impl Store {
    /// Opens the home's database, making home and database on first use.
    ///
    /// # Errors
    /// `Untrusted`, `Newer`, or the file system's or database's own.
    pub fn open(layout: Layout) -> Result<Self, StoreError> {
        let path = layout.database();
        let mut connection = match open(&path, OpenFlags::empty()) {
            Ok(connection) => {
                layout.check()?;
                connection
            }
            Err(_) => {
                layout.make()?;
                open(&path, OpenFlags::SQLITE_OPEN_CREATE).during("open the database")?
            }
        };
        connection.busy_timeout(BUSY).during("open the database")?;
        let version: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .during("read the database's format")?;
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        if version > known {
            return Err(StoreError::Newer { found: version, known });
        }
        if version < known {
            migrate(&mut connection, &layout)?;
        }
        connection
            .execute_batch("PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;")
            .during("open the database")?;
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .during("open the database")?;
        Ok(Self { connection, layout })
    }

    /// Every path of this home.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// One transaction that writes; waits its turn.
    pub(crate) fn write(&mut self, step: &'static str) -> Result<Transaction<'_>, StoreError> {
        self.connection.transaction_with_behavior(TransactionBehavior::Immediate).during(step)
    }

    /// Whether the database is whole, by its own check.
    ///
    /// # Errors
    /// When it cannot even be read.
    pub fn integrity(&self) -> Result<String, StoreError> {
        self.connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .during("check the database")
    }
}

impl Drop for Store {
    /// Keeps the log short. SQLite's own number of pages does not do it here: a process that opens
    /// the database alone forgets how much of the log was moved already, so that it would never
    /// begin the log anew, and move all of it at each commit.
    fn drop(&mut self) {
        let log = self.layout.database_log();
        if log.metadata().is_ok_and(|facts| facts.len() > LOG_BYTES) {
            // With another reader at it, the log stays for whoever closes last.
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }
}

fn open(path: &Path, extra: OpenFlags) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | extra,
    )
}

fn migrate(connection: &mut Connection, layout: &Layout) -> Result<(), StoreError> {
    // The version is read before the first migration's transaction begins, so two first uses at
    // once would both run it: the second waits here, and then finds nothing left to do.
    let path = layout.migration_lock();
    let lock = File::create(&path).map_err(|e| StoreError::file("open", &path, e))?;
    lock.lock().map_err(|e| StoreError::file("lock", &path, e))?;
    connection
        .query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))
        .during("set the database's mode")?;
    Migrations::from_slice(MIGRATIONS).to_latest(connection).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => {
            StoreError::Database { step: "bring the database up to date", source: err }
        }
        other => StoreError::Damaged { what: "the database".to_owned(), why: other.to_string() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_first_uses_at_once_all_work() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let home = home.clone();
                scope.spawn(move || Store::open(Layout::new(home)).unwrap());
            }
        });
        assert_eq!(Store::open(Layout::new(home)).unwrap().integrity().unwrap(), "ok");
    }

    #[test]
    fn the_log_stays_short_over_many_short_processes() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("home"));
        let mut longest = 0;
        for number in 0..300 {
            let store = Store::open(layout.clone()).unwrap();
            store
                .connection
                .execute_batch(&format!(
                    "CREATE TABLE IF NOT EXISTS t (a TEXT); INSERT INTO t VALUES (hex(zeroblob(9000)) || {number})"
                ))
                .unwrap();
            drop(store);
            longest = longest.max(layout.database_log().metadata().map_or(0, |facts| facts.len()));
        }
        assert!(longest < LOG_BYTES * 2, "{longest}");
    }

    #[test]
    fn a_newer_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("home"));
        let store = Store::open(layout.clone()).unwrap();
        store.connection.execute_batch("PRAGMA user_version=99").unwrap();
        drop(store);
        assert!(matches!(Store::open(layout), Err(StoreError::Newer { found: 99, .. })));
    }
}
