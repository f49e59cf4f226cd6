//! Starting and ending a machine's processes from the host's side: what all machines share.
//!
//! A machine is a process of the embedded agent's program (`pyro-guest`, crates/guest) that holds
//! the lock of a workspace's directory. Here are that program, the lock, the conversation of a
//! start, the bounds, the ids, and the orderly end. What is inside a machine, and what lies in its
//! directory besides the lock and the socket, is the machine's own business.
//!
//! Promises: no daemon; nothing is believed of a lock's text that the start times of the processes
//! do not confirm; every wait has a deadline.

pub mod agent;
pub mod bounds;
pub mod conversation;
pub mod end;
pub mod holder;
pub mod ids;
pub mod lock;
pub mod mapped;
pub mod namespaces;

pub use bounds::{Bounds, Hierarchy};
pub use conversation::{Conversation, Report};
pub use ids::Ids;
pub use mapped::Streams;

use pyro_machine::MachineError;

/// A failed system call as a machine's failure.
#[must_use]
pub fn failure(error: pyro_sys::SysError) -> MachineError {
    MachineError::System { step: error.call, what: error.what, source: error.source }
}
