//! Real VMs: `pyro-guest monitor` over files that a test makes, as pyro starts it.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt as _, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use pyro_machine::Guest;
use pyro_protocol::{
    Decoder, encode,
    launch::AgentSpec,
    spool::{self, Record},
    vm::{Accelerator, Awaken, Begin, Identity, SEED_DISK_BYTES, VmLaunch, VmReport},
};

/// A step of an emulated machine on a busy host.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// An id that owns nothing.
pub(crate) const NOBODY: u32 = 2_000_123_456;

/// In the order in which they are loaded.
const MODULES: [&str; 8] = [
    "virtio_ring",
    "virtio",
    "virtio_mmio",
    "virtio_console",
    "virtio_blk",
    "libcrc32c",
    "erofs",
    "overlay",
];

/// Not run: says why, and fails where it must run.
pub(crate) fn skip(what: &str, why: &str) {
    let required = std::env::var("PYRO_REQUIRED").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == what), "must run, but: {why}");
    println!("skipped {what}: {why}");
}

/// What all VMs of this test run share.
pub(crate) struct Ground {
    _folder: tempfile::TempDir,
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
    root: PathBuf,
    pub(crate) blank: PathBuf,
    placeholder: PathBuf,
    pub(crate) ram: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) disk: PathBuf,
}

/// Made once; `None` where VMs cannot run, which is said.
pub(crate) fn ground() -> Option<&'static Ground> {
    static GROUND: OnceLock<Result<Ground, String>> = OnceLock::new();
    match GROUND.get_or_init(Ground::make) {
        Ok(ground) => Some(ground),
        Err(why) => {
            skip("monitor_vm", why);
            None
        }
    }
}

impl Ground {
    fn make() -> Result<Self, String> {
        let given = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set"))
        };
        let (kernel, modules, root) =
            (given("PYRO_TEST_KERNEL")?, given("PYRO_TEST_MODULES")?, given("PYRO_TEST_ROOT")?);
        if !rustix::process::geteuid().is_root() {
            return Err("only root gives QEMU an id that owns nothing".to_owned());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let everyone = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), everyone).unwrap();
        let initramfs = path("initramfs");
        let program = program();
        fs::write(&initramfs, archive(&stripped(&program, &path("init")), &modules)).unwrap();
        fs::set_permissions(&initramfs, fs::Permissions::from_mode(0o444)).unwrap();
        let (blank, placeholder) = (path("blank"), path("placeholder"));
        fs::File::create(&blank).unwrap().set_len(1 << 30).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&blank));
        fs::File::create(&placeholder).unwrap().set_len(SEED_DISK_BYTES).unwrap();
        let (ram, state, disk) = (path("ram"), path("state"), path("mounted"));
        for file in [&ram, &state] {
            fs::write(file, "").unwrap();
        }
        let ground =
            Self { _folder: folder, kernel, initramfs, root, blank, placeholder, ram, state, disk };
        let begin = ground.making();
        let began = Instant::now();
        let mut vm = Vm::launch(&ground, begin, |_| {});
        let report = vm.report();
        assert!(matches!(report, VmReport::Made { .. }), "{report:?}");
        println!("template made in {:?}", began.elapsed());
        fs::copy(vm.folder.path().join("disk"), &ground.disk).unwrap();
        for file in [&ground.ram, &ground.state] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o400)).unwrap();
        }
        Ok(ground)
    }

    pub(crate) fn making(&self) -> Begin {
        Begin::MakeTemplate {
            kernel: self.kernel.clone(),
            initramfs: self.initramfs.clone(),
            ram: self.ram.clone(),
            state: self.state.clone(),
        }
    }

    pub(crate) fn restore(&self) -> Begin {
        Begin::Restore { ram: self.ram.clone(), state: self.state.clone() }
    }
}

/// The program under test, or another build of it for measurements.
fn program() -> PathBuf {
    let given = std::env::var_os("PYRO_TEST_GUEST");
    given.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_pyro-guest")), PathBuf::from)
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
}

/// The program without what only debuggers read: it is unpacked into the guest's memory.
fn stripped(program: &Path, into: &Path) -> Vec<u8> {
    let done = Command::new("strip").arg("-o").arg(into).arg(program).status();
    let smaller = done.is_ok_and(|status| status.success());
    fs::read(if smaller { into } else { program }).unwrap()
}

/// A `newc` archive of the program as `/init`, and the modules.
fn archive(init: &[u8], modules: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |name: &str, mode: u32, data: &[u8]| {
        let fields = [1, mode, 0, 0, 1, 0, data.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        out.extend_from_slice(b"070701");
        for field in fields {
            out.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(4), 0);
    };
    add("modules", 0o040_755, b"");
    add("stage", 0o040_755, b"");
    add("init", 0o100_755, init);
    for (index, name) in MODULES.iter().enumerate() {
        let module = fs::read(modules.join(format!("{name}.ko"))).unwrap();
        add(&format!("modules/{index:02}-{name}.ko"), 0o100_644, &module);
    }
    add("TRAILER!!!", 0, b"");
    out
}

/// One VM, its directory, and what is known of its processes.
pub(crate) struct Vm {
    pub(crate) folder: tempfile::TempDir,
    socket: UnixStream,
}

impl Vm {
    /// Starts a monitor; `change` has the last word on its launch.
    pub(crate) fn launch(
        ground: &Ground,
        begin: Begin,
        change: impl FnOnce(&mut VmLaunch),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("spool")).unwrap();
        let disk = folder.path().join("disk");
        if matches!(begin, Begin::Restore { .. }) {
            // As the template's memory has it mounted.
            fs::copy(&ground.disk, &disk).unwrap();
        } else {
            let backing = ground.blank.to_str().unwrap();
            run(Command::new("qemu-img")
                .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", backing])
                .arg(&disk));
        }
        let mut launch = VmLaunch {
            directory: folder.path().to_owned(),
            qemu: PathBuf::from("/usr/bin/qemu-system-x86_64"),
            accelerator: Accelerator::Tcg,
            cpus: 2,
            memory_mib: 512,
            begin,
            environment: Some(ground.root.clone()),
            disk: vec![disk, ground.blank.clone()],
            own: Vec::new(),
            seeds: Vec::new(),
            placeholder: Some(ground.placeholder.clone()),
            identity: Identity { uid: NOBODY, gid: NOBODY },
            cgroups: Vec::new(),
            awaken: Awaken {
                entropy: (0..64).map(|_| rand()).collect(),
                at_us: 0,
                hostname: "here".to_owned(),
                machine_id: [1; 16],
                boot_id: [2; 16],
                own: false,
                seeds: 0,
                processes: 500,
                agent: AgentSpec { idle_ttl_s: 0, inspect_only: false, boot: [7; 16], at_ms: 0 },
            },
        };
        change(&mut launch);
        let uid = launch.identity.uid;
        let mut command = Command::new(program());
        if uid != NOBODY {
            // As a user of the host who is not root: the files are that user's.
            command = Command::new("setpriv");
            let id = uid.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(program());
            for name in ["", "spool", "disk"] {
                std::os::unix::fs::chown(folder.path().join(name), Some(uid), Some(uid)).unwrap();
            }
        }
        let (here, there) = UnixStream::pair().unwrap();
        let lock = fs::File::create(folder.path().join("lock")).unwrap();
        let status = command
            .arg("monitor")
            .stdin(Stdio::from(OwnedFd::from(there)))
            .stdout(Stdio::from(lock))
            .status()
            .unwrap();
        assert!(status.success());
        let mut wire = Vec::new();
        encode(&launch, &mut wire).unwrap();
        (&here).write_all(&wire).unwrap();
        here.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { folder, socket: here }
    }

    /// Pyro goes away before it has its answer.
    pub(crate) fn hang_up(&mut self) {
        self.socket.shutdown(std::net::Shutdown::Both).unwrap();
    }

    pub(crate) fn report(&mut self) -> VmReport {
        let mut decoder = Decoder::default();
        let mut buffer = [0; 4096];
        loop {
            if let Some(report) = decoder.next().unwrap() {
                return report;
            }
            let bytes = self.socket.read(&mut buffer).unwrap();
            assert!(bytes > 0, "the monitor is gone");
            decoder.push(&buffer[..bytes]);
        }
    }

    /// Restores one, and waits until its agent answers.
    pub(crate) fn restored(ground: &Ground) -> Self {
        Self::restored_with(ground, |_| {})
    }

    pub(crate) fn restored_with(ground: &Ground, change: impl FnOnce(&mut VmLaunch)) -> Self {
        let mut vm = Self::launch(ground, ground.restore(), change);
        let report = vm.report();
        assert!(matches!(report, VmReport::Ready { .. }), "{report:?}");
        vm
    }

    pub(crate) fn connect(&self) -> Guest {
        let stream = UnixStream::connect(self.folder.path().join("sock")).unwrap();
        Guest::handshake(stream, PATIENCE).unwrap()
    }

    /// The process ids of M and Q, as the lock's file has them.
    pub(crate) fn processes(&self) -> (i32, i32) {
        let text = fs::read_to_string(self.folder.path().join("lock")).unwrap();
        let mut ids = text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap());
        (ids.next().unwrap(), ids.next().unwrap())
    }

    /// Waits until M and Q are gone.
    pub(crate) fn gone(&self) {
        let (monitor, qemu) = self.processes();
        let until = Instant::now() + PATIENCE;
        while alive(monitor) || alive(qemu) {
            assert!(Instant::now() < until, "{monitor} or {qemu} does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let bytes = fs::read(self.folder.path().join("spool/events")).unwrap();
        let (records, taken) = spool::decode_records(&bytes);
        assert_eq!(taken, bytes.len(), "the log is whole");
        records
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let Ok(text) = fs::read_to_string(self.folder.path().join("lock")) else { return };
        for line in text.lines().take(2) {
            let mut parts = line.split(' ');
            let (Some(pid), Some(started)) = (parts.next(), parts.next()) else { return };
            let (Ok(pid), Ok(started)) = (pid.parse(), started.parse()) else { return };
            if let Ok(Some(process)) = (pyro_sys::process::Identity { pid, started }).open() {
                let _ = pyro_sys::process::kill(process);
            }
        }
    }
}

/// Neither gone nor waiting to be reaped by whoever adopted it.
pub(crate) fn alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}

pub(crate) fn signal(pid: i32, signal: i32) {
    pyro_sys::child::send_signal(pid, false, signal).unwrap();
}

fn rand() -> u8 {
    let mut byte = [0];
    rustix::rand::getrandom(&mut byte, rustix::rand::GetRandomFlags::empty()).unwrap();
    byte[0]
}
