//! Ways out of a container, tried as every kind of caller: those that every machine refuses
//! (`pyro_escape`), and one of its own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test program: what the lint's own exception for tests does not see as one"
)]

#[path = "../support/mod.rs"]
mod support;

mod program;

use program::program;
use pyro_escape::{Place, WAYS, attempt};
use support::{Home, for_everybody};

macro_rules! ways {
    ($($name:ident),+ $(,)?) => {
        $(fn $name(home: &Home) {
            let many_ids = !home.machine.ids().is_one();
            let (machine, fixture) = (&home.machine, &home.fixture);
            attempt(stringify!($name), &Place { machine, fixture, many_ids, mounts: &[] });
        })+
        for_everybody!($($name),+, program);

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
