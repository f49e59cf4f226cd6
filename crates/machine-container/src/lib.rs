//! The container machine: a workspace in namespaces of its own on the host's kernel.
//!
//! Promises: always a user namespace, so that the root inside is nobody outside; no daemon, no
//! helper that stays but the launcher, which holds the machine's lock; nothing left when a start
//! fails. What the host cannot give is a typed error or a row that says so, with what mends it.
//! The inside is made by the agent's own program (`pyro-guest`, crates/guest/src/container), which
//! this crate embeds.

mod agent;
mod bounds;
pub mod checks;
mod conversation;
mod end;
pub mod ids;
mod lock;
mod machine;
mod mapped;
mod place;
mod start;
mod unfit;

pub use checks::{Check, checks};
pub use ids::Ids;
pub use machine::ContainerMachine;
pub use mapped::Streams;

use pyro_machine::MachineError;

/// A failed system call as this machine's failure.
fn failure(error: pyro_sys::SysError) -> MachineError {
    MachineError::System { step: error.call, what: error.what, source: error.source }
}
