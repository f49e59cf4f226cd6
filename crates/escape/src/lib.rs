//! Ways out of a machine, one file for each, tried from inside by the workspace's root: every one
//! is refused, and the test says by what it knows. Each machine's own tests walk all `WAYS`.
//!
//! A way that cannot be tried (no such file, no such program) fails: an escape test that passes
//! without trying is worse than none. The root needs `sh`, the usual small programs, `setpriv`
//! and `python3` with `ctypes`. A way is refused by a panic: this crate is only for tests.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test program: what the lint's own exception for tests does not see as one"
)]

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
pub mod probe;
mod processes;
mod setuid;
mod sockets;
mod tracing;

use pyro_machine::{
    Machine,
    conformance::{Fixture, Session},
};

/// Where the ways are tried.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// What is tried.
    pub machine: &'a dyn Machine,
    /// Homes and roots for it.
    pub fixture: &'a Fixture,
    /// Whether programs inside can take other user ids.
    pub many_ids: bool,
    /// What is mounted inside besides `/workspace`, `/dev`, `/proc` and the fixture's binds.
    pub mounts: &'a [&'a str],
}

impl Place<'_> {
    /// Talks with a fresh machine, and ends it.
    pub fn session(&self, talk: impl FnOnce(&mut Session)) {
        let workspace = self.fixture.workspace(self.machine).unwrap();
        let talked = workspace.session(self.machine, |session| {
            talk(session);
            Ok(())
        });
        talked.unwrap();
    }
}

/// One way out.
pub type Way = fn(&Place<'_>);

/// All of them, by name.
pub const WAYS: &[(&str, Way)] = &[
    ("agent", agent::agent),
    ("cgroups", cgroups::cgroups),
    ("descriptors", descriptors::descriptors),
    ("devices", devices::devices),
    ("host_files", host_files::host_files),
    ("kernel", kernel::kernel),
    ("keyrings", keyrings::keyrings),
    ("layers", layers::layers),
    ("mounts", mounts::mounts),
    ("namespaces", namespaces::namespaces),
    ("processes", processes::processes),
    ("setuid", setuid::setuid),
    ("sockets", sockets::sockets),
    ("tracing", tracing::tracing),
];

/// Tries the way of that name.
pub fn attempt(name: &str, place: &Place<'_>) {
    let way = WAYS.iter().find(|way| way.0 == name).unwrap();
    way.1(place);
}
