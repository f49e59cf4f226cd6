//! What runs inside a machine. `agent` is process 1 of a container or a VM: it runs commands,
//! serves files and answers the host over one socket.
//!
//! Promises: no unsafe code (that is `pyro-sys`), one thread, nothing unbounded.

pub mod agent;
pub mod container;
