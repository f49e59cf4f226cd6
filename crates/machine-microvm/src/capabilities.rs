//! The microVM's rows of the capability table.

use pyro_machine::{Capabilities, Capability, Support};

pub(crate) fn table() -> Capabilities {
    let yes = |how: &str| Support::Yes(how.to_owned());
    let no = |reason: &str, instead: &str| Support::No {
        reason: reason.to_owned(),
        instead: instead.to_owned(),
    };
    Capabilities::new(vec![
        (Capability::ManyIds, yes("the guest has all ids of its own kernel")),
        (Capability::MemoryLimit, yes("the VM has that much memory")),
        (Capability::CpuLimit, yes("the VM has that many processors")),
        (Capability::ProcessLimit, yes("the guest's own kernel")),
        (Capability::DiskLimit, yes("the VM has a disk of that size")),
        (
            Capability::LiveSnapshot,
            no("comes with snapshots", "a stopped workspace keeps its disk"),
        ),
        (
            Capability::HostEnvironment,
            no("the host's directories cannot be shown to another kernel", "debian:12"),
        ),
    ])
}
