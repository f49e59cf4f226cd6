//! Starting a machine: its template, its disk, and what the guest is told when it is awakened.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use pyro_launcher::{
    Bounds,
    end::{self, Manner},
    failure, holder, lock,
};
use pyro_machine::{Enforcement, Limits, MachineError, MachineSpec, Started, Writable, image_of};
use pyro_protocol::{
    launch::AgentSpec,
    vm::{Awaken, Begin, SEED_DISKS, VmReport},
};
use pyro_sys::Context;
use rustix::rand::GetRandomFlags;
use sha2::{Digest, Sha256};

use crate::{
    disk, image, initramfs,
    qemu::{self, Qemu},
    session::{Host, unexpected},
    template::{Held, Shape},
    unpacked,
};

/// How long a monitor may take until its guest's agent answers; it gives up before.
const PATIENCE: Duration = Duration::from_secs(80);
/// What QEMU takes besides the guest's memory, MiB.
const OWN_MIB: u64 = 192;
/// Threads of QEMU besides its processors'.
const OWN_THREADS: u64 = 128;
/// Processors of the machine that QEMU emulates.
const MOST_CPUS: u32 = 288;
/// A kernel and the agent do not start with less.
const LEAST_MEMORY_MIB: u64 = 96;
/// Allowed on every host.
const ALWAYS_MEMORY_MIB: u64 = 4_096;
/// How long a monitor may take to end in good order, with its guest's disk written, before it is
/// killed; its own steps have shorter deadlines.
const TO_SYNC: Duration = Duration::from_secs(8);

const DAMAGED: &str = "the template could not be restored, and was made anew";

/// How a microVM is ended.
pub(crate) const MANNER: Manner = Manner::AskHolder(TO_SYNC);

/// What a start goes on from, and what is said of it.
struct Beginning {
    begin: Begin,
    notices: Vec<String>,
    /// The key of a template that was there before.
    restored: Option<String>,
    /// Held until the VM has opened the template.
    held: Option<Held>,
}

impl Host {
    /// Starts the machine and waits until its agent answers.
    pub(crate) fn start(&self, spec: &MachineSpec) -> Result<Started, MachineError> {
        can(spec)?;
        // Before the template, which may take a while: nobody waits for it to hear that.
        if lock::is_held(&spec.directory)? {
            return Err(MachineError::Busy(spec.directory.clone()));
        }
        let qemu = qemu::find(&self.place)?;
        let shape = Shape::of(spec)?;
        for layer in spec.root_lowers.iter().chain(&spec.tree_lowers) {
            image::prepare(&self.agent, &self.ids, layer)?;
        }
        image::placeholder(&self.place.placeholder())?;
        let mut beginning = self.beginning(&shape)?;
        let first = !disk::is_there(&spec.directory);
        let mut started = self.attempt(spec, &shape, &qemu, &beginning);
        // Once, a fresh one is tried.
        if let (Err(error), Some(key)) = (&started, beginning.restored.take())
            && is_damage(error, self.is_young(&key))
        {
            self.forget_template(&key)?;
            drop(beginning);
            if first {
                // A copy of the template's.
                let _held = lock::take(&spec.directory)?;
                disk::forget(&spec.directory)?;
            }
            beginning = self.beginning(&shape)?;
            beginning.notices = vec![DAMAGED.to_owned()];
            started = self.attempt(spec, &shape, &qemu, &beginning);
        }
        let mut started = started?;
        started.notices = beginning.notices;
        Ok(started)
    }

    fn attempt(
        &self,
        spec: &MachineSpec,
        shape: &Shape,
        qemu: &Qemu,
        beginning: &Beginning,
    ) -> Result<Started, MachineError> {
        let held = lock::take(&spec.directory)?;
        end::outlive(&lock::read(&held).doing("read", "the lock").map_err(failure)?)?;
        holder::forget_socket(&spec.directory)?;
        let mib = disk::size(shape.disk_mib)?;
        let template = beginning.held.as_ref().map(|held| held.disk.as_path());
        let disk = disk::open(&self.place, &spec.directory, mib, template)?;
        let bounds = self.bounds(spec);
        let begin = beginning.begin.clone();
        let mut launch = self.bare(&spec.directory, qemu, self.accelerator(), begin);
        launch.awaken = awaken(spec)?;
        launch.cpus = shape.cpus;
        launch.memory_mib = shape.memory_mib;
        launch.environment = Some(image_of(&shape.environment));
        match (template, disk.chain.last()) {
            // What the template has mounted is another disk.
            (Some(template), Some(blank)) if !disk.fresh => {
                launch.disk = vec![template.to_owned(), blank.clone()];
                launch.own = disk.chain;
                launch.awaken.own = true;
            }
            _ => launch.disk = disk.chain,
        }
        launch.seeds = spec.tree_lowers.iter().map(|layer| image_of(layer)).collect();
        launch.placeholder = Some(self.place.placeholder());
        launch.cgroups.clone_from(&bounds.cgroups);
        let refused = match self.run(&launch, held, PATIENCE, None)? {
            VmReport::Ready { refused } => refused,
            other => return Err(unexpected(&other)),
        };
        let stream = match holder::connect(&spec.directory) {
            Ok(stream) => stream,
            Err(error) => {
                end::end(&spec.directory, Manner::AskHolder(Duration::ZERO))?;
                return Err(error);
            }
        };
        let enforcement = enforcement(spec, disk.mib, &bounds, &refused);
        Ok(Started { stream, enforcement, notices: Vec::new() })
    }

    /// The template; made when there is none, which is said. Without room for one the VM boots.
    fn beginning(&self, shape: &Shape) -> Result<Beginning, MachineError> {
        let facts = self.facts(shape)?;
        let key = facts.key();
        if let Some(held) = self.hold(&key) {
            let begin = restore(&held);
            let restored = Some(key);
            return Ok(Beginning { begin, notices: Vec::new(), restored, held: Some(held) });
        }
        match self.template(shape, &facts, &mut |_| {}, None) {
            Ok((held, made)) => Ok(Beginning {
                begin: restore(&held),
                notices: made.map(|made| made.notice()).into_iter().collect(),
                restored: None,
                held: Some(held),
            }),
            Err(error) if is_full(&error) => {
                let kernel = self.kernel()?;
                let initramfs = initramfs::initramfs(&self.place, kernel)?;
                let kernel = unpacked::image(&self.place, kernel, self.accelerator())?;
                let begin = Begin::Cold { kernel, initramfs };
                let notice =
                    format!("started without a template, which takes longer: failed to {error}");
                Ok(Beginning { begin, notices: vec![notice], restored: None, held: None })
            }
            Err(error) => Err(error),
        }
    }

    /// QEMU's own bounds on the host; the guest's are the VM itself.
    fn bounds(&self, spec: &MachineSpec) -> Bounds {
        let limits = Limits {
            memory_mib: spec.limits.memory_mib.saturating_add(OWN_MIB),
            processes: OWN_THREADS + u64::from(spec.limits.cpus),
            ..spec.limits
        };
        Bounds::plan(self.hierarchy(), spec.workspace.as_str(), limits, Writable::Disk)
    }
}

/// What this machine cannot do is refused before anything is made.
fn can(spec: &MachineSpec) -> Result<(), MachineError> {
    let unsupported = |reason: &str, instead: &str| {
        Err(MachineError::Unsupported {
            operation: "start a microVM",
            reason: reason.to_owned(),
            instead: instead.to_owned(),
        })
    };
    if !spec.binds.is_empty() {
        return unsupported(
            "the host's directories cannot be shown to another kernel",
            "the container machine, or an environment such as debian:12",
        );
    }
    if spec.also_at.is_some() {
        return unsupported(
            "the checkout's own path is not shown in a VM",
            "/workspace, or the container machine",
        );
    }
    if spec.tree_lowers.len() > SEED_DISKS {
        return unsupported(
            &format!(
                "its seed has {} layers, and a VM has {SEED_DISKS} disks for them",
                spec.tree_lowers.len()
            ),
            "a snapshot flattens them",
        );
    }
    let Limits { cpus, memory_mib, .. } = spec.limits;
    if cpus > MOST_CPUS {
        return unsupported(&format!("cpus is {cpus}"), &format!("at most {MOST_CPUS}"));
    }
    let most = most_memory_mib();
    if !(LEAST_MEMORY_MIB..=most).contains(&memory_mib) {
        return unsupported(
            &format!("memory_mib is {memory_mib}"),
            &format!("between {LEAST_MEMORY_MIB} and {most}"),
        );
    }
    Ok(())
}

/// What the host has: a guest's kernel writes to a part of all its memory when it boots, and a
/// template keeps that. A host of little memory may have its guests swapped.
fn most_memory_mib() -> u64 {
    let host = rustix::system::sysinfo();
    let bytes = u128::from(host.totalram) * u128::from(host.mem_unit);
    u64::try_from(bytes >> 20).unwrap_or(u64::MAX).max(ALWAYS_MEMORY_MIB)
}

fn restore(held: &Held) -> Begin {
    Begin::Restore { ram: held.ram.clone(), state: held.state.clone() }
}

/// Whether a start may have failed by its template: QEMU could not restore it, or the guest ended
/// before it was awake. What the guest itself reports, and a host that is too slow, are something
/// else. A young template is not to blame for a guest that ends: a workspace's disk can be made so
/// that its kernel dies of it, and would have the others' template made anew with every start.
fn is_damage(error: &MachineError, young: bool) -> bool {
    let MachineError::Launch { step, source, .. } = error else { return false };
    let may_be = match step.as_str() {
        "restore" => true,
        "awaken" => !young,
        _ => false,
    };
    may_be && !source.to_string().contains("too long")
}

fn is_full(error: &MachineError) -> bool {
    let (MachineError::System { source, .. } | MachineError::Launch { source, .. }) = error else {
        return false;
    };
    matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn awaken(spec: &MachineSpec) -> Result<Awaken, MachineError> {
    let mut entropy = vec![0; 64];
    let mut random = [[0; 16]; 2];
    for bytes in
        std::iter::once(entropy.as_mut_slice()).chain(random.iter_mut().map(|one| &mut one[..]))
    {
        rustix::rand::getrandom(bytes, GetRandomFlags::empty())
            .doing("draw", "random bytes")
            .map_err(failure)?;
    }
    let [boot, boot_id] = random;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Ok(Awaken {
        entropy,
        at_us: u64::try_from(now.as_micros()).unwrap_or(u64::MAX),
        hostname: spec.hostname.clone(),
        machine_id: machine_id(spec.workspace.as_str()),
        boot_id,
        own: false,
        seeds: u32::try_from(spec.tree_lowers.len()).unwrap_or(u32::MAX),
        processes: spec.limits.processes,
        agent: AgentSpec {
            idle_ttl_s: spec.idle_ttl_s,
            inspect_only: spec.inspect_only,
            boot,
            at_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        },
    })
}

/// The same for every start of a workspace.
fn machine_id(workspace: &str) -> [u8; 16] {
    let hash = Sha256::digest(format!("pyro machine id of {workspace}"));
    std::array::from_fn(|at| hash[at])
}

fn enforcement(
    spec: &MachineSpec,
    disk_mib: u64,
    bounds: &Bounds,
    refused: &[(PathBuf, i32)],
) -> Vec<Enforcement> {
    let limits = spec.limits;
    let host = bounds.enforcement(refused);
    // What bounds QEMU besides; said where it is missing.
    let qemu = |limit: &str| match host.iter().find(|row| row.limit == limit) {
        Some(row) if !row.enforced => format!("; QEMU itself has no bound: {}", row.how),
        _ => String::new(),
    };
    let row = |limit, how| Enforcement { limit, enforced: true, how };
    vec![
        row("cpus", format!("the VM has {} processors{}", limits.cpus.max(1), qemu("cpus"))),
        row(
            "memory_mib",
            format!("the VM has {} MiB of memory{}", limits.memory_mib, qemu("memory_mib")),
        ),
        row("processes", format!("the guest's kernel, at most {}", limits.processes)),
        row("disk_mib", format!("the VM's disk has {disk_mib} MiB")),
    ]
}

/// Moves a workspace's changes away, and makes room for fresh ones.
pub(crate) fn renew(directory: &Path, trash: &Path) -> Result<(), MachineError> {
    crate::place::renew(directory, trash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_model::{Bind, BindMode, WorkspaceId};

    fn spec() -> MachineSpec {
        MachineSpec {
            workspace: WorkspaceId::from_random([1; 8]),
            directory: "/nowhere".into(),
            hostname: "box".into(),
            root_lowers: vec!["/root".into()],
            tree_lowers: Vec::new(),
            writable: Writable::Disk,
            binds: Vec::new(),
            also_at: None,
            limits: Limits { cpus: 1, memory_mib: 128, disk_mib: None, processes: 10 },
            idle_ttl_s: 0,
            inspect_only: false,
        }
    }

    #[test]
    fn what_a_vm_cannot_do_is_refused() {
        assert!(can(&spec()).is_ok());
        let bind = Bind { source: "/a".into(), target: "/a".into(), mode: BindMode::ReadOnly };
        let wrong = [
            MachineSpec { binds: vec![bind], ..spec() },
            MachineSpec { also_at: Some("/a".into()), ..spec() },
            MachineSpec { tree_lowers: vec!["/a".into(); SEED_DISKS + 1], ..spec() },
            MachineSpec { limits: Limits { cpus: MOST_CPUS + 1, ..spec().limits }, ..spec() },
            MachineSpec { limits: Limits { memory_mib: 95, ..spec().limits }, ..spec() },
            MachineSpec { limits: Limits { memory_mib: 1 << 24, ..spec().limits }, ..spec() },
            MachineSpec { limits: Limits { memory_mib: u64::MAX, ..spec().limits }, ..spec() },
        ];
        for spec in wrong {
            assert!(matches!(can(&spec), Err(MachineError::Unsupported { .. })), "{spec:?}");
        }
    }

    #[test]
    fn only_what_a_template_can_cause_makes_another() {
        let failed = |step: &str, why: &str| {
            let source = io::Error::other(why.to_owned());
            let error = MachineError::Launch { step: step.into(), what: "the VM".into(), source };
            (is_damage(&error, false), is_damage(&error, true))
        };
        assert_eq!(failed("restore", "QEMU refused"), (true, true));
        assert_eq!(failed("awaken", "QEMU ended"), (true, false));
        assert_eq!(failed("restore", "it takes too long"), (false, false));
        assert_eq!(failed("awaken the VM:", "No space left on device"), (false, false));
        assert_eq!(failed("clone", "Operation not permitted"), (false, false));
    }

    #[test]
    fn two_starts_share_the_machine_id_and_nothing_random() {
        let (one, two) = (awaken(&spec()).unwrap(), awaken(&spec()).unwrap());
        assert_eq!(one.machine_id, two.machine_id);
        assert!(one.entropy != two.entropy && one.boot_id != two.boot_id);
        assert!(one.agent.boot != two.agent.boot && one.boot_id != one.agent.boot);
        assert_eq!(one.entropy.len(), 64);
        let other = MachineSpec { workspace: WorkspaceId::from_random([2; 8]), ..spec() };
        assert_ne!(awaken(&other).unwrap().machine_id, one.machine_id);
    }
}
