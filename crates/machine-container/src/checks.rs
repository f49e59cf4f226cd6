//! What `pyro doctor` says about containers on this host, each with the command that mends it.
//!
//! The heart is a probe: a whole machine, started and ended in the home, by the same steps as any
//! other. What it fails at is the row that is not well; the rows around it only read settings.

use std::{fs, path::Path};

use pyro_launcher::{ids, namespaces};
use pyro_machine::{
    Capability, Check, Limits, Machine, MachineError, MachineSpec, Support, Writable,
};
use pyro_model::WorkspaceId;

use crate::{
    ContainerMachine, Ids,
    unfit::{ID_HELPERS, IDMAPPED_MOUNTS, NESTED_SANDBOX, OVERLAY, SUB_IDS, USER_NAMESPACES},
};

/// Looks at everything. `scratch` is an empty directory in the home, of the caller's alone; the
/// probe leaves nothing in it.
#[must_use]
pub fn checks(machine: &ContainerMachine, scratch: &Path) -> Vec<Check> {
    let probed = probe(machine, scratch);
    let mut checks = vec![user_namespaces(&probed)];
    checks.extend(sub_ids(machine.ids()));
    checks.push(from_probe(
        &probed,
        OVERLAY,
        "workspaces on the disk of the home",
        "an overlay was mounted in the home",
    ));
    if matches!(machine.ids(), Ids::Root { .. }) {
        checks.push(from_probe(
            &probed,
            IDMAPPED_MOUNTS,
            "environments and seeds when pyro runs as root",
            "a layer was shown with other ids",
        ));
    }
    checks.push(from_probe(
        &probed,
        NESTED_SANDBOX,
        "a /proc of the workspace's own",
        "a fresh /proc was mounted",
    ));
    checks.push(seccomp());
    checks.extend(limits(machine));
    checks.push(whole(probed));
    checks
}

fn probe(machine: &ContainerMachine, scratch: &Path) -> Result<(), MachineError> {
    let spec = MachineSpec {
        workspace: WorkspaceId::from_random(u64::from(std::process::id()).to_le_bytes()),
        directory: scratch.to_owned(),
        hostname: "probe".to_owned(),
        // The directory of the agent stands for any layer; nothing in it is looked at.
        root_lowers: machine.agent().parent().map(Path::to_owned).into_iter().collect(),
        tree_lowers: Vec::new(),
        writable: Writable::Disk,
        binds: Vec::new(),
        also_at: None,
        limits: Limits { cpus: 1, memory_mib: 64, disk_mib: None, processes: 16 },
        idle_ttl_s: 10,
        inspect_only: true,
    };
    machine.prepare(scratch)?;
    let started = machine.start(&spec).map(|_| ());
    let ended = machine.end(scratch);
    let entries = fs::read_dir(scratch).into_iter().flatten().flatten();
    let left: Vec<_> = entries.map(|entry| entry.path()).collect();
    let left: Vec<&Path> = left.iter().map(|path| path.as_path()).collect();
    let removed = machine.discard(&left);
    started.and(ended).and(removed)
}

fn user_namespaces(probed: &Result<(), MachineError>) -> Check {
    let needed_for = "every container";
    let mut check =
        from_probe(probed, USER_NAMESPACES, needed_for, "a user namespace was made and used");
    if let (true, Err(_), Some((found, mend))) = (check.ok, probed, namespaces::refused()) {
        check = Check { name: USER_NAMESPACES, ok: false, found, needed_for, mend };
    }
    check
}

/// Well unless the probe failed at just this.
fn from_probe(
    probed: &Result<(), MachineError>,
    name: &'static str,
    needed_for: &'static str,
    well: &str,
) -> Check {
    match probed {
        Err(MachineError::HostUnfit { check, reason, mend }) if *check == name => {
            Check { name, ok: false, found: reason.clone(), needed_for, mend: mend.clone() }
        }
        Err(_) => {
            let found = "not known: the probe failed before it or at another".to_owned();
            Check { name, ok: true, found, needed_for, mend: String::new() }
        }
        Ok(()) => Check { name, ok: true, found: well.to_owned(), needed_for, mend: String::new() },
    }
}

fn sub_ids(ids: &Ids) -> Vec<Check> {
    let needed_for = "environments other than host, apt, chown and other users inside";
    let row = |name, ok, found: String, mend: String| Check { name, ok, found, needed_for, mend };
    let helpers = ids::on_path("newuidmap") && ids::on_path("newgidmap");
    let mut rows = Vec::new();
    match ids {
        Ids::Root { range } => rows.push(row(
            SUB_IDS,
            true,
            format!("root gives the guest {} ids from {} on", range.count, range.first),
            String::new(),
        )),
        Ids::Many { users, .. } => rows.push(row(
            SUB_IDS,
            true,
            format!("{} sub-ids from {} on", users.count, users.first),
            String::new(),
        )),
        Ids::One { reason, mend, .. } if helpers => {
            rows.push(row(SUB_IDS, false, reason.clone(), mend.clone()));
        }
        Ids::One { .. } => {}
    }
    if !matches!(ids, Ids::Root { .. }) {
        let found = if helpers { "newuidmap and newgidmap are there" } else { "not installed" };
        let mend = if helpers { "" } else { "sudo apt-get install -y uidmap" };
        rows.push(row(ID_HELPERS, helpers, found.to_owned(), mend.to_owned()));
    }
    rows
}

fn seccomp() -> Check {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let ok = actions.split_ascii_whitespace().any(|action| action == "errno");
    Check {
        name: "seccomp",
        ok,
        found: if ok { "filters are there" } else { "the kernel has no system call filters" }
            .to_owned(),
        needed_for: "every container",
        mend: if ok { "" } else { "boot a kernel with CONFIG_SECCOMP_FILTER" }.to_owned(),
    }
}

fn limits(machine: &ContainerMachine) -> Vec<Check> {
    let rows = [
        ("memory_limit", Capability::MemoryLimit, "a bound on memory that holds"),
        ("cpu_limit", Capability::CpuLimit, "a bound on processors that holds"),
        ("process_limit", Capability::ProcessLimit, "a bound on processes that holds"),
    ];
    let row = |(name, capability, needed_for)| {
        let (ok, found, mend) = match machine.capabilities().get(capability) {
            Support::Yes(how) | Support::Partly(how) => (true, how, String::new()),
            Support::No { reason, .. } => (false, reason, DELEGATE.to_owned()),
        };
        Check { name, ok, found, needed_for, mend }
    };
    rows.into_iter().map(row).collect()
}

/// Gives an ordinary user a cgroup of its own, on a host with systemd and version 2.
const DELEGATE: &str = "systemd-run --user --scope -p Delegate=yes -- $SHELL";

fn whole(probed: Result<(), MachineError>) -> Check {
    let (ok, found, mend) = match probed {
        Ok(()) => (true, "a machine was started and ended".to_owned(), String::new()),
        Err(MachineError::HostUnfit { reason, mend, .. }) => (false, reason, mend),
        Err(error) => (false, format!("failed to {error}"), String::new()),
    };
    Check { name: "container", ok, found, needed_for: "every container", mend }
}
