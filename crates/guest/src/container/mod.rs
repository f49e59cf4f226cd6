//! How a container comes to be, from the inside out: the launcher `L`, which stays outside as the
//! holder of the lock, and its child `C`, which sets up its own namespaces and becomes the agent.
//! `pyro_protocol::launch` has the conversation with pyro.
//!
//! Promises: no path of the host is opened but those that the launch names, and those only before
//! C takes its mapped ids; no path of the guest is followed out of the new root; when anything
//! fails, everything made so far ends with the two processes.

mod confine;
pub(crate) mod devices;
mod enter;
mod filter;
mod handles;
mod inside;
pub(crate) mod kernel;
mod launch;
mod remove;
mod root;
pub(crate) mod target;

pub use confine::Confinement;
pub(crate) use devices::DEVICES;
pub use enter::enter;
pub(crate) use handles::{LayerHandles, UpperHandle};
pub use launch::launch;
pub use remove::remove;
pub(crate) use root::Scratch;
