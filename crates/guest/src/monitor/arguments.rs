//! QEMU's command line. A clone's is its template's, with other files behind the same numbers: the
//! devices, their order and their sizes must be equal.
//!
//! Promises: no path of a caller stands in it; every file is a descriptor (`/dev/fdset`) or has a
//! fixed name in Q's root. Formats and chains are named, so that QEMU probes nothing: a disk's
//! content never decides what is opened.

use std::{
    ffi::CString,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
};

use pyro_protocol::vm::{Accelerator, Begin, PORT, TEMPLATE_DISK_BYTES, VmLaunch};
use pyro_sys::{Result, SysError, ticks};

use super::{
    fence::{INITRAMFS, Inherited, KERNEL, RAM},
    files::Files,
};

/// The kernel's command line, without what depends on the launch: no self-tests of its ciphers and
/// no tracing of its functions, which together take half a second of an emulated boot.
const KERNEL_LINE: &str = "console=ttyS0 quiet panic=-1 random.trust_cpu=on cryptomgr.notests \
                           initcall_blacklist=init_kprobe_trace";

/// What an emulated one has besides. Nobody else's secrets are in the emulation's reach: its guest
/// is one user's. Its timer is there and needs no test.
///
/// What else is left out costs an emulated guest much and protects nobody: a program's code lies at
/// the same place each time, so that it is translated once and not with every start of it; hooks,
/// counters and zeroing for what no guest here has (policies, audit, limits of memory in it).
const EMULATED: &str = " mitigations=off no_timer_check norandmaps audit=0 psi=0 lsm=landlock \
                        cgroup_disable=memory init_on_alloc=0 transparent_hugepage=never";

/// QEMU's sockets to M.
pub(super) struct Sockets {
    pub(super) console: OwnedFd,
    pub(super) qmp: OwnedFd,
    pub(super) port: OwnedFd,
}

/// The command line, and the number that the template's state has in Q.
pub(super) struct Line {
    words: Vec<String>,
    pub(super) state: Option<i32>,
}

impl Line {
    /// Writes it; everything that it names goes to `inherited`. Of `files`, RAM and `/dev/kvm`
    /// stay: Q asks for them.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub(super) fn new(
        launch: &VmLaunch,
        files: &mut Files,
        sockets: Sockets,
        inherited: &mut Inherited,
    ) -> Result<Self> {
        let disk_bytes = files.disk_bytes()?;
        let mut line = Self { words: Vec::new(), state: None };
        line.machine(launch);
        line.memory(launch);
        line.boot(launch);
        for (id, socket) in
            [("console", sockets.console), ("qmp", sockets.qmp), ("port", sockets.port)]
        {
            let number = inherited.add(socket);
            line.add("-chardev", format!("socket,id={id},fd={number}"));
        }
        line.add("-serial", "chardev:console");
        line.add("-mon", "chardev=qmp,mode=control");
        line.add("-device", "virtio-serial-device,max_ports=2");
        line.add("-device", format!("virtserialport,chardev=port,name={PORT}"));
        line.disks(files, disk_bytes, inherited);
        if matches!(launch.begin, Begin::Restore { .. }) {
            line.state = files.state.take().map(|state| inherited.add(state));
            line.add("-incoming", "defer");
        }
        // After the sockets and files are there: what is left then is QEMU's own work.
        line.add(
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        );
        Ok(line)
    }

    fn machine(&mut self, launch: &VmLaunch) {
        self.add(
            "-M",
            "microvm,x-option-roms=off,pit=on,pic=on,isa-serial=on,rtc=on,acpi=on,\
             memory-backend=ram",
        );
        match launch.accelerator {
            // The translated code of a small guest; without a bound it takes a quarter of the
            // guest's RAM.
            Accelerator::Tcg => self.add("-accel", "tcg,tb-size=32"),
            Accelerator::Kvm => self.add("-accel", "kvm"),
        }
        // Five levels of page tables make every walk of an emulated guest longer.
        let emulated = "max,la57=off";
        self.add("-cpu", if launch.accelerator == Accelerator::Kvm { "host" } else { emulated });
        self.add("-smp", launch.cpus.to_string());
        self.add("-m", launch.memory_mib.to_string());
        for word in ["-nodefaults", "-no-user-config", "-no-reboot"] {
            self.words.push(word.to_owned());
        }
        self.add("-display", "none");
    }

    fn memory(&mut self, launch: &VmLaunch) {
        let size = launch.memory_mib;
        self.add(
            "-object",
            match launch.begin {
                Begin::Cold { .. } | Begin::Probe { .. } => {
                    format!("memory-backend-ram,id=ram,size={size}M")
                }
                // QEMU opens it for writing in every version unless told otherwise, and is given
                // what reads only (`fence::Opens`): one way for all of them.
                Begin::Restore { .. } => {
                    format!("memory-backend-file,id=ram,size={size}M,mem-path={RAM},share=off")
                }
                Begin::MakeTemplate { .. } => {
                    format!("memory-backend-file,id=ram,size={size}M,mem-path={RAM},share=on")
                }
            },
        );
    }

    fn boot(&mut self, launch: &VmLaunch) {
        if matches!(launch.begin, Begin::Restore { .. }) {
            return;
        }
        self.add("-kernel", KERNEL);
        self.add("-initrd", INITRAMFS);
        let mut line = KERNEL_LINE.to_owned();
        if launch.accelerator == Accelerator::Tcg {
            line.push_str(EMULATED);
            // The guest counts the host's ticks; measured on a busy host by itself, against an
            // emulated timer, they come out as nothing, and the boot hangs.
            if let Some(khz) = ticks::counter_khz() {
                line.push_str(&format!(" tsc_early_khz={khz}"));
            }
            if counter_is_trusted() {
                // Else an emulated guest of several processors has no clock finer than 4 ms.
                line.push_str(" tsc=reliable");
            }
        }
        self.add("-append", line);
    }

    fn disks(&mut self, files: &mut Files, disk_bytes: u64, inherited: &mut Inherited) {
        if let Some(environment) = files.environment.take() {
            let file = self.file(inherited, environment, true);
            self.add("-blockdev", format!("driver=raw,node-name=env,read-only=on,file={file}"));
            self.device("env", "env");
        }
        let copied = !files.own.is_empty();
        let (disk, own) = (std::mem::take(&mut files.disk), std::mem::take(&mut files.own));
        if !disk.is_empty() {
            self.chain(inherited, "disk", disk, copied);
            if own.is_empty() {
                // A place that is empty in most: nothing can be written there, or read from it.
                self.add(
                    "-blockdev",
                    format!("driver=null-co,node-name=own,size={disk_bytes},read-zeroes=on"),
                );
                self.device("own", "own");
            } else {
                self.chain(inherited, "own", own, false);
            }
        }
        for (index, seed) in std::mem::take(&mut files.seeds).into_iter().enumerate() {
            let name = format!("seed{index}");
            let file = self.file(inherited, seed, true);
            self.add("-blockdev", format!("driver=raw,node-name={name},read-only=on,file={file}"));
            self.device(&name, &name);
        }
    }

    /// A disk of several files; the first is kept in the bounds of a template's disk if it is
    /// nobody's own.
    fn chain(&mut self, inherited: &mut Inherited, name: &str, files: Vec<OwnedFd>, copied: bool) {
        let mut below: Option<String> = None;
        for (index, layer) in files.into_iter().enumerate().rev() {
            let top = index == 0;
            let mut file = self.file(inherited, layer, !top);
            let node = format!("{name}{index}");
            if top && copied {
                let bounded =
                    format!("driver=raw,node-name=copied,size={TEMPLATE_DISK_BYTES},file={file}");
                self.add("-blockdev", bounded);
                file = "copied".to_owned();
            }
            let rest = match (&below, top) {
                (None, _) => "raw,read-only=on".to_owned(),
                (Some(below), false) => format!("qcow2,read-only=on,backing={below}"),
                (Some(below), true) => {
                    format!("qcow2,backing={below},discard=unmap,cache.no-flush=on")
                }
            };
            self.add("-blockdev", format!("driver={rest},node-name={node},file={file}"));
            below = Some(node);
        }
        if let Some(top) = below {
            self.device(&top, name);
        }
    }

    /// The node of one file. Its lock is the workspace's own, held by M; images are shared.
    fn file(&mut self, inherited: &mut Inherited, file: OwnedFd, read_only: bool) -> String {
        let number = inherited.add(file);
        self.add("-add-fd", format!("fd={number},set={number}"));
        let mode = if read_only { "read-only=on" } else { "discard=unmap,cache.no-flush=on" };
        self.add(
            "-blockdev",
            format!(
                "driver=file,node-name=file{number},filename=/dev/fdset/{number},locking=off,{mode}"
            ),
        );
        format!("file{number}")
    }

    /// A full host disk is an error in the guest, and does not stop the VM.
    fn device(&mut self, node: &str, serial: &str) {
        self.add(
            "-device",
            format!("virtio-blk-device,drive={node},serial={serial},werror=report,rerror=report"),
        );
    }

    fn add(&mut self, option: &str, value: impl Into<String>) {
        self.words.push(option.to_owned());
        self.words.push(value.into());
    }

    /// As a program's arguments.
    ///
    /// # Errors
    /// The program's path has a zero byte.
    pub(super) fn into_arguments(self, launch: &VmLaunch) -> Result<Vec<CString>> {
        let program = launch.qemu.as_os_str().as_bytes().to_vec();
        std::iter::once(program)
            .chain(self.words.into_iter().map(String::into_bytes))
            .map(|word| {
                CString::new(word).map_err(|_| SysError::invalid("write", &"arguments", "a zero"))
            })
            .collect()
    }
}

/// Whether the host's own kernel takes the processors' counters for equal and steady.
fn counter_is_trusted() -> bool {
    let sources = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
    let sources = std::fs::read_to_string(sources).unwrap_or_default();
    sources.split_whitespace().any(|source| source == "tsc")
}
