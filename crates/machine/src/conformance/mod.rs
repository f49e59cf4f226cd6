//! What every machine must do, one file for each guarantee. A machine's own tests call each suite
//! with the machine and a fixture: the fake, the container (as root, as a user, with one id) and
//! the microVM pass the same ones.
//!
//! A suite leaves no machine running, and says what broke in words; it never panics and never
//! skips. To add a guarantee: a new file with `check`, and its line in `SUITES`.

mod apart;
mod bounded;
mod busy;
mod durable;
mod ends;
mod fixture;
mod fresh;
mod idle;
mod many_clients;
mod patched;
mod removal;
mod results;
mod reuse;
mod session;
mod stopped;

pub use fixture::{Fixture, Workspace};
pub use removal::gone;
pub use session::{Output, Session};

use crate::Machine;

/// A promise that was not kept, in words.
#[derive(Debug)]
pub struct Broken(pub String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Broken {
    fn from(error: E) -> Self {
        // Every error of this workspace says its source in its own words.
        Self(error.to_string())
    }
}

/// Kept, or not.
pub type Verdict = Result<(), Broken>;

/// One guarantee.
pub type Suite = fn(&dyn Machine, &Fixture) -> Verdict;

/// All of them, by name.
pub const SUITES: &[(&str, Suite)] = &[
    ("results", results::check),
    ("durable", durable::check),
    ("many_clients", many_clients::check),
    ("fresh", fresh::check),
    ("apart", apart::check),
    ("reuse", reuse::check),
    ("busy", busy::check),
    ("ends", ends::check),
    ("idle", idle::check),
    ("stopped", stopped::check),
    ("bounded", bounded::check),
    ("patched", patched::check),
];

/// Runs the suite of that name.
///
/// # Errors
/// What broke; or there is none of that name.
pub fn check(name: &str, machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    match SUITES.iter().find(|suite| suite.0 == name) {
        Some((_, suite)) => suite(machine, fixture),
        None => Err(Broken(format!("there is no suite {name}"))),
    }
}

/// Breaks the suite when a promise is not kept.
macro_rules! ensure {
    ($kept:expr, $($words:tt)+) => {
        if !$kept {
            return Err($crate::conformance::Broken(format!($($words)+)));
        }
    };
}
use ensure;
