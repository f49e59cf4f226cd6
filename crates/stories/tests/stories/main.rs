//! Stories that the real chat hosts play with `pyro mcp serve`, directed by a scripted model.
//!
//! `scripts/clients` installs the hosts and says where they are; `make test-clients` runs these
//! tests alone. Without a host's program, or where no network namespace can be made, a test says so
//! and counts as skipped; it fails instead when `PYRO_REQUIRED` names `clients`.
//!
//! A story is a `Script`: calls of tools and what must come back. It is the same for every host;
//! `wire` has what differs between them in the talk with the model, `host` how each is started.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod host;
mod model;
mod received;
mod room;
mod script;
mod stage;
mod wire;

mod bounds;
mod connected;
mod every_tool;
mod modes;
mod patience;
mod refusals;
mod repro_fix;
mod together;
