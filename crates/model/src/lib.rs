//! The nouns of pyro: ids, names, limits, states and changes, with one parser and one printer each.
//!
//! Promises: every value that exists is valid (parsing is the only way in), and printing it gives
//! what parsing takes. Does no IO and knows no door, store or machine.

pub mod bind;
pub mod change;
pub mod exec;
pub mod id;
pub mod label;
pub mod limits;
pub mod machine;
pub mod name;
pub mod seed;
pub mod time;
pub mod workspace;

pub use bind::{Bind, BindMode};
pub use change::{Change, ChangeKind};
pub use exec::{ExecState, OutputStream};
pub use id::{ExecId, IdError, WorkspaceId};
pub use label::{LabelKey, LabelValue, Labels};
pub use machine::{Isolation, MachineChoice, MachineKind};
pub use name::{NameError, WorkspaceName};
pub use seed::OriginKind;
pub use time::Timestamp;
pub use workspace::WorkspaceState;
