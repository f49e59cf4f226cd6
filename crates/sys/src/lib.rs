//! Linux, one file per family of system calls: what rustix does not have, and sequences that only
//! make sense together.
//!
//! Promises: every function is safe to call, takes typed arguments and fails with the call and the
//! thing acted on; nothing here needs a kernel newer than 5.15. This is the only crate with
//! `unsafe`; each block says why it holds. Decides nothing: which namespace, which mount, which
//! limit is the caller's.

#![allow(unsafe_code, reason = "the one crate where raw system calls are made")]

pub mod capability;
pub mod child;
pub mod clone;
pub mod descriptor;
pub mod error;
pub mod filesystem;
pub mod ids;
pub mod lock;
pub mod mount;
pub mod network;
pub mod process;
pub mod random;
pub mod seccomp;
pub mod seccomp_notify;
pub mod signal;
pub mod socket;
pub mod ticks;

pub use error::{Context, Result, SysError};
