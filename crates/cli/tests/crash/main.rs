//! Real `pyro` processes that are killed, at named steps and at any moment, and several at once:
//! the next call finishes or undoes what was begun, and says the same through every door.
//!
//! The named steps exist in builds with debug assertions only.

#![cfg(debug_assertions)]
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unreachable_pub, reason = "modules of one program of tests")]
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

mod hosts;
mod moments;
mod points;
mod support;
mod together;
