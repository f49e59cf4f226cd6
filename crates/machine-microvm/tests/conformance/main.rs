//! The microVM passes every suite of `pyro_machine::conformance`, and some of its own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test program: what the lint's own exception for tests does not see as one"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/callers.rs"]
mod callers;
mod doctor;
mod layers;
mod sizes;
mod templates;

use callers::{for_callers, for_everybody};
use pyro_machine::conformance::{self, SUITES};
use support::Home;

macro_rules! suites {
    ($($name:ident),+ $(,)?) => {
        $(fn $name(home: &Home) {
            conformance::check(stringify!($name), &home.machine, &home.fixture).unwrap();
        })+
        for_everybody!($($name),+, layers);

        #[test]
        fn every_suite_is_run() {
            let here = [$(stringify!($name)),+];
            assert_eq!(here.as_slice(), SUITES.iter().map(|suite| suite.0).collect::<Vec<_>>());
        }
    };
}

suites!(
    results,
    durable,
    many_clients,
    fresh,
    apart,
    reuse,
    busy,
    ends,
    idle,
    stopped,
    bounded,
    patched,
);
for_callers!(
    templates_and_more,
    Root,
    broken_template,
    cancelled,
    collected,
    doctor,
    no_kernel,
    killed_maker,
    mounted,
    refused,
    sizes,
    stale,
    warm,
);

use doctor::{doctor, no_kernel};
use layers::layers;
use sizes::{refused, sizes};
use templates::{broken_template, cancelled, collected, killed_maker, mounted, stale, warm};
