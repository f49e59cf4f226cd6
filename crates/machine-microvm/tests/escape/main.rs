//! Ways out of a machine (`pyro_escape`), tried in a microVM: what a container's workload cannot do
//! to the host's kernel, a VM's cannot do to its own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test program: what the lint's own exception for tests does not see as one"
)]

#[path = "../support/mod.rs"]
mod support;

use pyro_escape::{Place, WAYS, attempt};
use support::with_home;

/// What is mounted over a file of the environment.
const MOUNTS: &[&str] = &["/etc/machine-id"];

macro_rules! ways {
    ($($name:ident),+ $(,)?) => {
        $(#[test] fn $name() {
            with_home(|home| {
                let (machine, fixture) = (&home.machine, &home.fixture);
                attempt(
                    stringify!($name),
                    &Place { machine, fixture, many_ids: true, mounts: MOUNTS },
                );
            });
        })+

        #[test]
        fn every_way_is_tried() {
            let here = [$(stringify!($name)),+];
            assert_eq!(here.as_slice(), WAYS.iter().map(|way| way.0).collect::<Vec<_>>());
        }
    };
}

ways!(
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
    setuid,
    sockets,
    tracing,
);
