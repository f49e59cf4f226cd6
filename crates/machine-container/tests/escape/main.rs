//! Ways out of a container, one file for each, tried from inside by the workspace's root: every
//! one is refused, and the test says by what it knows.
//!
//! A try that cannot be made here (no such file, no such program) fails the test: an escape test
//! that passes without trying is worse than none.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test program: what the lint's own exception for tests does not see as one"
)]

#[path = "../support/mod.rs"]
mod support;

mod agent;
mod cgroups;
mod descriptors;
mod devices;
mod host_files;
mod kernel;
mod keyrings;
mod layers;
mod mounts;
mod namespaces;
mod probe;
mod processes;
mod program;
mod setuid;
mod sockets;
mod tracing;

use support::for_everybody;

use agent::agent;
use cgroups::cgroups;
use descriptors::descriptors;
use devices::devices;
use host_files::host_files;
use kernel::kernel;
use keyrings::keyrings;
use layers::layers;
use mounts::mounts;
use namespaces::namespaces;
use processes::processes;
use program::program;
use setuid::setuid;
use sockets::sockets;
use tracing::tracing;

for_everybody!(
    agent,
    cgroups,
    descriptors,
    devices,
    host_files,
    kernel,
    keyrings,
    layers,
    mounts,
    namespaces,
    processes,
    program,
    setuid,
    sockets,
    tracing,
);
