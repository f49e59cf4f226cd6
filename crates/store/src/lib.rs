//! What pyro keeps on disk: every path in one file, records and journal in SQLite, locks.
//!
//! Promises: every change is one transaction or one rename; a second process sees a consistent
//! state at any moment; a process killed at any step leaves something that `Record::phase` and the
//! operation lock let the next call finish or undo. Knows no machine and no door. `FORMAT.md` says
//! what lies where, for a reader without this source.

pub mod database;
pub mod error;
pub mod exec;
pub mod journal;
pub mod layout;
pub mod lock;
pub mod record;
pub mod workspace;

pub use database::Store;
pub use error::StoreError;
pub use exec::{ExecRecord, Import, MachineNote};
pub use journal::{Event, EventKind};
pub use layout::Layout;
pub use lock::OperationLock;
pub use record::{Phase, Record, RunSpec};
pub use workspace::Found;
