//! How a VM is started, and what crosses its one channel.
//!
//! pyro (P) starts `pyro-guest monitor` (M) as it starts the launcher of containers (`launch`): a
//! session of its own, a stream socket, the held lock. M is the VM's one process on the host
//! besides QEMU (Q): starts it in a fence, drives it, multiplexes every door's connection onto the
//! channel, writes the spool. Each ends with the other.
//!
//! The channel is a virtio-serial port; frames as everywhere. `init`, process 1 of the VM, becomes
//! the agent; at its `Waiting` a template is saved, and from there each clone goes on.
//!
//! ```text
//! P -> M  VmLaunch                       (one length-bounded frame)
//! V -> M  Waiting | Failed               (cold boot only; the disk in its place is mounted)
//! M -> V  Awaken                         (entropy, clock, names, which disk, what to mount)
//! V -> M  Awake | Failed                 (calls are taken from here on)
//! M -> P  VmReport                       (the agent answers; the template or probe is done)
//! M -> V  Host(HostFrame) …              V -> M  Guest(GuestFrame), Logged, Output …
//! V -> M  Ended                          (disks are synced; M ends Q)
//! ```

use std::path::PathBuf;

use pyro_model::{ExecId, OutputStream};
use serde::{Deserialize, Serialize};

use crate::{
    GuestFrame, HostFrame,
    launch::{AgentSpec, Cgroup},
    spool::Record,
};

/// Bytes that the image of a seed is padded to (sparse), so that every clone of a template has a
/// disk of the size that the template had in its place.
pub const SEED_DISK_BYTES: u64 = 64 << 30;

/// Disks for seed layers in every VM: a full layer, and a delta over it.
pub const SEED_DISKS: usize = 2;

/// A template's disk, which clones begin with copies of, is never longer.
pub const TEMPLATE_DISK_BYTES: u64 = 16 << 20;

/// The name of the virtio-serial port.
pub const PORT: &str = "pyro";

/// The channel's control frames to M never hold more than this of text.
pub const MAX_WORDS: usize = 4 << 10;

/// All that M needs to know. Every path is absolute, on the host, and opened by M before Q exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmLaunch {
    /// The workspace's own directory (`sock` and `spool/` in it), or a scratch directory for a
    /// template or a probe.
    pub directory: PathBuf,
    /// QEMU's program.
    pub qemu: PathBuf,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// Virtual processors.
    pub cpus: u32,
    /// The guest's RAM.
    pub memory_mib: u64,
    /// How it begins.
    pub begin: Begin,
    /// The read-only image of the environment. Absent only in a probe.
    pub environment: Option<PathBuf>,
    /// The disk that is mounted before the awakening: qcow2 files top first, of which only the
    /// first is written, and last the raw blank disk that they stand on. Empty only in a probe.
    pub disk: Vec<PathBuf>,
    /// The disk of a workspace whose own began as that of another template, or is older than this
    /// start; likewise, or empty. Where there is one, `disk` is the template's, and V is given a
    /// copy of it that nobody keeps.
    pub own: Vec<PathBuf>,
    /// Read-only images of seed layers, top first; the rest of the `SEED_DISKS` places is taken by
    /// `placeholder`.
    pub seeds: Vec<PathBuf>,
    /// An empty file of `SEED_DISK_BYTES`.
    pub placeholder: Option<PathBuf>,
    /// Whose rights Q has on the host: mapped to id 0 of its user namespace, where it has no
    /// capability. For root an id that owns nothing; else the caller's own.
    pub identity: Identity,
    /// Cgroups that M makes for Q before Q exists (M stays outside), and removes after its end.
    pub cgroups: Vec<Cgroup>,
    /// What the guest is told when it is awakened.
    pub awaken: Awaken,
}

/// Whose rights Q has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Accelerator {
    /// The processor, through `/dev/kvm`.
    Kvm,
    /// QEMU's emulation.
    Tcg,
}

/// How a VM begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begin {
    /// Boots, is awakened, and runs. RAM is private memory.
    Cold { kernel: PathBuf, initramfs: PathBuf },
    /// Goes on from a template: RAM mapped privately from a file that nothing here can write.
    Restore { ram: PathBuf, state: PathBuf },
    /// Boots with RAM in `ram` (which exists, empty), stops at `Waiting`, saves its state into
    /// `state` (likewise), and ends. No socket, no spool.
    MakeTemplate { kernel: PathBuf, initramfs: PathBuf, ram: PathBuf, state: PathBuf },
    /// Boots to `Waiting` and ends: does this accelerator work here? No socket, no spool.
    Probe { kernel: PathBuf, initramfs: PathBuf },
}

/// From M to P.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VmReport {
    /// The agent answers on the socket. What could not be had of the cgroups.
    Ready { refused: Vec<(PathBuf, i32)> },
    /// The template is saved, or the probe booted, `boot_ms` after QEMU was started; everything of
    /// it has ended.
    Made { boot_ms: u64 },
    /// The step that failed, what it acted on, the system's error number (0: none), and what the
    /// guest's console said last. Everything has ended.
    Failed { step: String, what: String, errno: i32, console: String },
}

/// What the guest is told when it is awakened. Until then it answers nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaken {
    /// 64 random bytes of the host.
    pub entropy: Vec<u8>,
    /// Wall-clock time at the host, microseconds since the epoch. M writes it just before sending.
    pub at_us: u64,
    /// The name that programs inside see.
    pub hostname: String,
    /// `/etc/machine-id`.
    pub machine_id: [u8; 16],
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: [u8; 16],
    /// Its disk is the one in the place `own`, and not the one that is mounted already.
    pub own: bool,
    /// How many of the seed disks hold a layer, top first.
    pub seeds: u32,
    /// Processes of the workload at most.
    pub processes: u64,
    /// What the agent needs.
    pub agent: AgentSpec,
}

/// From M to the VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToVm {
    /// First, once.
    Awaken(Box<Awaken>),
    /// A call, or more of one. Calls are numbered by M over all doors.
    Host(HostFrame),
    /// The host's clock jumped (it slept): microseconds since the epoch.
    Clock { at_us: u64 },
    /// Write everything to the disk now. Answered by `Synced`.
    Sync,
}

/// From the VM to M, which trusts none of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromVm {
    /// Booted, with its disk mounted, and waits to be awakened. The protocol's version.
    Waiting { version: u16 },
    /// Awakened: calls are taken.
    Awake,
    /// It could not boot, or not be awakened: the step, what it acted on, the error number.
    Failed { step: String, what: String, errno: i32 },
    /// An answer to a call.
    Guest(GuestFrame),
    /// For the spool's log.
    Logged(Record),
    /// Bytes that a command wrote, in order, each byte once. All of a stream's bytes come before
    /// the `Finished` that counts them.
    Output { exec: ExecId, stream: OutputStream, bytes: Vec<u8> },
    /// Answers `Sync`.
    Synced,
    /// The last word: commands are over, disks are synced.
    Ended,
}
