//! What runs inside a machine. `agent` is process 1 of a container or a VM: it runs commands,
//! serves files and answers the host over one socket or port. `container` and `microvm` make the
//! place that it runs in, `monitor` is a VM's one process on the host besides QEMU.
//!
//! Promises: no unsafe code (that is `pyro-sys`), one thread, nothing unbounded.

pub mod agent;
mod bpf;
pub mod container;
mod holder;
pub mod microvm;
pub mod monitor;
mod outbox;
mod spool;
