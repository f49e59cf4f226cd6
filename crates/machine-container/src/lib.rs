//! The container machine: a workspace in namespaces of its own on the host's kernel.
//!
//! Promises: always a user namespace, so that the root inside is nobody outside; no daemon, no
//! helper that stays but the launcher, which holds the machine's lock; nothing left when a start
//! fails. What the host cannot give is a typed error or a row that says so, with what mends it.
//! The inside is made by the agent's own program (`pyro-guest`, crates/guest/src/container), which
//! `pyro-launcher` embeds.

pub mod checks;
mod machine;
mod place;
mod start;
mod unfit;

pub use checks::checks;
pub use machine::ContainerMachine;
pub use pyro_launcher::{Ids, Streams, ids};
pub use pyro_machine::Check;
