//! From the kernel's first call of `/init` to the moment at which a template is saved: everything
//! that is the same in every clone, with the disk mounted and a root over it.

use std::{
    fs,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use pyro_protocol::{
    launch::Rlimits,
    vm::{PORT, SEED_DISKS},
};
use pyro_sys::{
    Context, Result, SysError,
    child::SingleThread,
    filesystem::{self, Filesystem},
    mount::{self, Restrictions, open_handle},
    network, process, random,
};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with},
    process::Resource,
};

use super::{
    cgroup::{self, Work},
    ground::{Ground, Shown},
    identity::Names,
    modules,
};
use crate::container::{Confinement, DEVICES, Scratch, devices, kernel, target};

/// How long the kernel may take to show a device after its driver is there.
const DEVICES_WITHIN: Duration = Duration::from_secs(20);
/// Descriptors that the agent may have.
const AGENT_FILES: u64 = 1 << 17;
/// Open files of each command, as in a container.
const OPEN_FILES: u64 = 65_536;
/// Parts of `/proc` that only the root of a machine of its own can see.
const HIDDEN: [&str; 7] =
    ["dynamic_debug", "kpagecgroup", "kpagecount", "kpageflags", "mtrr", "slabinfo", "vmallocinfo"];
/// Bytes of the environment that are read ahead of the first command.
const WARM_BYTES: u64 = 8 << 20;
/// What that first command is likely to need.
const WARM: [&str; 16] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/aarch64-linux-gnu/libc.so.6",
    "/lib64/libc.so.6",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/lib/x86_64-linux-gnu/libtinfo.so.6",
    "/lib/aarch64-linux-gnu/libtinfo.so.6",
    "/bin/bash",
    "/bin/sh",
    "/bin/true",
    "/bin/cat",
    "/bin/ls",
    "/lib/x86_64-linux-gnu/libselinux.so.1",
    "/lib/x86_64-linux-gnu/libpcre2-8.so.0",
];

/// What the booted machine has.
pub(super) struct Booted {
    /// Device nodes of the disks, by the name that the monitor gave each.
    pub(super) disks: Vec<(String, PathBuf)>,
    /// The kernel's random numbers, to be fed.
    pub(super) generator: OwnedFd,
    /// That nothing but this thread runs.
    pub(super) alone: SingleThread,
    /// Where commands are born.
    pub(super) cgroup: Work,
    /// What commands are confined to.
    pub(super) confinement: Confinement,
    /// What every root shows, and the root over the disk that is there; none in a machine that is
    /// only a probe.
    pub(super) ground: Option<(Shown, Ground)>,
}

/// What the drivers have announced: the port to the monitor.
pub(super) fn devices() -> Result<OwnedFd> {
    let stage = mount::memory(Some(1 << 20), 0o700, Restrictions::default())?;
    filesystem::attach_at(&stage, "/stage")?;
    // Before the first driver: a device that is there already is seen by looking.
    let announcements = announcements()?;
    modules::load_all(Path::new("/modules"))?;
    filesystem::attach_at(&mount::proc(Restrictions::default())?, "/stage/proc")?;
    filesystem::attach_at(&filesystem::device_nodes()?, "/stage/dev")?;
    let system = Filesystem { kind: "sysfs", source: None, options: &[], read_only: true };
    filesystem::attach_at(&filesystem::mount(&system)?, "/stage/sys")?;
    filesystem::leave_initramfs("/stage")?;
    port(&announcements)
}

/// Gets to where the machine waits.
pub(super) fn boot() -> Result<Booted> {
    process::limit(Resource::Nofile, AGENT_FILES)?;
    // The disk of a machine that is killed has all but its last second.
    for name in ["dirty_expire_centisecs", "dirty_writeback_centisecs"] {
        fs::write(Path::new("/proc/sys/vm").join(name), "100").doing("set", name)?;
    }
    let disks = disks()?;
    network::loopback_up()?;
    // Commands are the kernel's choice when memory runs out, what supervises them is not.
    fs::write("/proc/self/oom_score_adj", "-1000").doing("set", "its worth")?;
    let cgroup = cgroup::make()?;
    let scratch = scratch("/parking")?;
    let ground = match (disk(&disks, "env"), disk(&disks, "disk")) {
        (Some(environment), Some(disk)) => {
            let (mounts, names) = skeleton(&scratch)?;
            let shown = Shown { environment: image(environment)?, mounts, names };
            let ground = Ground::lay(disk, &shown, scratch)?;
            warm(&ground.root);
            ground.settle()?;
            Some((shown, ground))
        }
        _ => None,
    };
    let rlimits = Rlimits { processes: None, open_files: OPEN_FILES };
    let confinement = Confinement::prepare(rlimits)?;
    let generator = random::open()?;
    let alone = SingleThread::check().doing("be", "a single thread")?;
    keep_the_old_root()?;
    Ok(Booted { disks, generator, alone, cgroup, confinement, ground })
}

/// What is mounted around the new root is let go of when that is entered, while somebody waits: with
/// a handle of each it is only let go of, and not taken apart.
fn keep_the_old_root() -> Result<()> {
    for path in ["/", "/proc", "/dev", "/sys", "/parking"] {
        std::mem::forget(open_handle(Path::new(path))?);
    }
    Ok(())
}

/// A place to put a root together in.
pub(super) fn scratch(path: &str) -> Result<Scratch> {
    fs::create_dir(path).doing("make", path)?;
    Scratch::new(open_handle(Path::new(path))?)
}

/// `/dev` and `/proc` as commands will see them, mounted out of the way.
fn skeleton(scratch: &Scratch) -> Result<(Vec<(&'static Path, OwnedFd)>, Names)> {
    fs::create_dir("/skeleton").doing("make", "/skeleton")?;
    let skeleton = open_handle(Path::new("/skeleton"))?;
    let nodes = DEVICES.iter().map(|name| open_handle(&Path::new("/dev").join(name)));
    let nodes: Vec<OwnedFd> = nodes.collect::<Result<_>>()?;
    devices::mount(&skeleton, &nodes, true)?;
    kernel::mount(&skeleton, &nodes[0], &scratch.empty, &HIDDEN)?;
    let names = Names::prepare(scratch, &skeleton)?;
    let mut prepared = Vec::new();
    for path in ["/dev", "/proc"].map(Path::new) {
        prepared.push((path, target::existing(&skeleton, path)?));
    }
    Ok((prepared, names))
}

/// What the kernel says of devices that come.
fn announcements() -> Result<OwnedFd> {
    let kernel = "the kernel's announcements";
    let flags = SocketFlags::CLOEXEC;
    let protocol = Some(netlink::KOBJECT_UEVENT);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)
        .doing("listen to", kernel)?;
    bind(&socket, &netlink::SocketAddrNetlink::new(0, 1)).doing("listen to", kernel)?;
    Ok(socket)
}

/// The channel's port, once the kernel has it.
fn port(announcements: &OwnedFd) -> Result<OwnedFd> {
    let until = Instant::now() + DEVICES_WITHIN;
    let mut said = [0; 2 << 10];
    loop {
        if let Some(port) = find_port()? {
            return Ok(port);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || !process::wait_readable(announcements, Some(left))? {
            return Err(SysError::invalid("find", &"the port", "the kernel shows none"));
        }
        // What was missed is seen by the next look.
        let _ = recv(announcements, &mut said, RecvFlags::DONTWAIT);
    }
}

fn find_port() -> Result<Option<OwnedFd>> {
    let Ok(ports) = fs::read_dir("/sys/class/virtio-ports") else { return Ok(None) };
    for port in ports.flatten() {
        let name = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        if name.trim_end() == PORT {
            let node = Path::new("/dev").join(port.file_name());
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            return match openat(CWD, &node, flags, Mode::empty()) {
                Ok(port) => Ok(Some(port)),
                // The node comes a moment after the name.
                Err(Errno::NOENT) => Ok(None),
                Err(errno) => Err(errno).doing("open", node.display()),
            };
        }
    }
    Ok(None)
}

/// Every disk that the monitor gave a name; in what order they come is up to QEMU and the kernel.
fn disks() -> Result<Vec<(String, PathBuf)>> {
    let mut disks = Vec::new();
    for disk in fs::read_dir("/sys/block").doing("list", "/sys/block")?.flatten() {
        let Ok(serial) = fs::read_to_string(disk.path().join("serial")) else { continue };
        disks.push((serial.trim_end().to_owned(), Path::new("/dev").join(disk.file_name())));
    }
    Ok(disks)
}

/// The device node of a disk.
pub(super) fn disk<'a>(disks: &'a [(String, PathBuf)], name: &str) -> Option<&'a str> {
    disks.iter().find(|(serial, _)| serial == name)?.1.to_str()
}

/// The names of the seeds' disks, top first.
pub(super) fn seeds() -> impl Iterator<Item = String> {
    (0..SEED_DISKS).map(|number| format!("seed{number}"))
}

/// The environment's image, mounted.
fn image(device: &str) -> Result<OwnedFd> {
    let image = Filesystem { kind: "erofs", source: Some(device), options: &[], read_only: true };
    filesystem::attach_at(&filesystem::mount(&image)?, "/env")?;
    open_handle(Path::new("/env"))
}

/// Reads what a first command needs, by the names that it will use; what is not there is not
/// needed.
fn warm(root: &OwnedFd) {
    let mut left = WARM_BYTES;
    for path in WARM {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = openat2(root.as_fd(), path, flags, Mode::empty(), resolve) else { continue };
        let mut file = fs::File::from(file);
        if !file.metadata().is_ok_and(|about| about.is_file()) {
            continue;
        }
        let read = std::io::copy(&mut (&mut file).take(left), &mut std::io::sink());
        left = left.saturating_sub(read.unwrap_or(0));
    }
}
