//! One VM, booted cold and emulated, and words to talk to it with: the test is its monitor.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use pyro_model::{ExecId, OutputStream};
use pyro_protocol::{
    Decoder, GuestFrame, GuestMessage, HostFrame, HostMessage, encode,
    exec::{ExecStart, Finished, Follow, Program},
    launch::AgentSpec,
    spool::Record,
    vm::{Awaken, FromVm, ToVm},
};

use crate::kit::Kit;

/// An emulated machine beside a busy one is slow.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Vm {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) records: Vec<Record>,
    /// From QEMU's start to `Waiting`, and from `Awaken` to `Awake`.
    pub(crate) times: (Duration, Duration),
    child: Child,
    stream: UnixStream,
    decoder: Decoder,
    next_call: u32,
}

/// Everything that a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) end: Finished,
}

pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

pub(crate) fn awaken() -> Awaken {
    Awaken {
        entropy: (0..64).collect(),
        at_us: now_us(),
        hostname: "wonderland".to_owned(),
        machine_id: [0x5a; 16],
        boot_id: [0xc3; 16],
        own: false,
        seeds: 2,
        processes: 200,
        agent: AgentSpec { idle_ttl_s: 0, inspect_only: false, boot: [7; 16], at_ms: 0 },
    }
}

impl Vm {
    /// Boots to `Waiting`, with a disk and two seeds.
    pub(crate) fn boot(kit: &Kit) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        kit.initramfs(&at("initramfs"));
        run("truncate", &["-s", "128M", &text(at("disk"))]);
        run("mke2fs", &["-q", "-t", "ext4", &text(at("disk"))]);
        for (name, files) in [("seed0", ["both", "top"]), ("seed1", ["both", "bottom"])] {
            fs::create_dir(at("tree")).unwrap();
            for file in files {
                fs::write(at("tree").join(file), format!("{name}\n")).unwrap();
            }
            run("mkfs.erofs", &["--quiet", &text(at(name)), &text(at("tree"))]);
            fs::remove_dir_all(at("tree")).unwrap();
        }
        let listener = UnixListener::bind(at("port")).unwrap();
        let began = Instant::now();
        let child = Self::qemu(kit, &folder);
        listener.set_nonblocking(true).unwrap();
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            assert!(began.elapsed() < PATIENCE, "QEMU does not connect");
            std::thread::sleep(Duration::from_millis(2));
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut vm = Self {
            folder,
            records: Vec::new(),
            times: (Duration::ZERO, Duration::ZERO),
            child,
            stream,
            decoder: Decoder::default(),
            next_call: 1,
        };
        let waiting = vm.hear();
        assert_eq!(waiting, FromVm::Waiting { version: pyro_protocol::VERSION });
        vm.times.0 = began.elapsed();
        vm
    }

    fn qemu(kit: &Kit, folder: &tempfile::TempDir) -> Child {
        let at = |name: &str| text(folder.path().join(name));
        let mut qemu = Command::new("timeout");
        qemu.args(["180", "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "256"]);
        qemu.args(["-M", "microvm,x-option-roms=off,pit=on,pic=on,isa-serial=on,rtc=on,acpi=on"]);
        qemu.args([
            "-smp",
            "1",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        qemu.args(["-kernel", &text(kit.kernel.clone()), "-initrd", &at("initramfs")]);
        // A busy host keeps the kernel from finding it out, and then it has no timer; and makes it
        // believe that the counter is wrong, and then its clock is a coarse one.
        let khz = pyro_sys::ticks::counter_khz().unwrap();
        qemu.args([
            "-append",
            &format!("console=ttyS0 panic=-1 quiet tsc=reliable tsc_early_khz={khz}"),
        ]);
        qemu.args(["-serial", &format!("file:{}", at("console"))]);
        qemu.args(["-device", "virtio-serial-device"]);
        qemu.args(["-chardev", &format!("socket,id=ch,path={}", at("port"))]);
        qemu.args(["-device", "virtserialport,chardev=ch,name=pyro"]);
        let root = text(kit.root.clone());
        let disks =
            [("env", root), ("disk", at("disk")), ("seed0", at("seed0")), ("seed1", at("seed1"))];
        for (name, file) in disks {
            let mode = if name == "disk" { "off" } else { "on" };
            qemu.arg("-drive");
            qemu.arg(format!("id={name},if=none,format=raw,readonly={mode},file={file}"));
            qemu.args(["-device", &format!("virtio-blk-device,drive={name},serial={name}")]);
        }
        qemu.stdin(Stdio::null()).spawn().unwrap()
    }

    /// Boots and awakens.
    pub(crate) fn awake(kit: &Kit, awaken: Awaken) -> Self {
        let mut vm = Self::boot(kit);
        let began = Instant::now();
        vm.say(&ToVm::Awaken(Box::new(awaken)));
        let awake = vm.hear();
        assert_eq!(awake, FromVm::Awake, "{}", vm.console());
        vm.times.1 = began.elapsed();
        vm
    }

    pub(crate) fn console(&self) -> String {
        let bytes = fs::read(self.folder.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn say(&mut self, frame: &ToVm) {
        let mut wire = Vec::new();
        encode(frame, &mut wire).unwrap();
        self.stream.write_all(&wire).unwrap();
    }

    pub(crate) fn hear(&mut self) -> FromVm {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return frame;
            }
            let read = self.stream.read(&mut buffer);
            match read {
                Ok(bytes) if bytes > 0 => self.decoder.push(&buffer[..bytes]),
                other => panic!("{other:?}; the console says: {}", self.console()),
            }
        }
    }

    /// Asks, and gives the first answer of that call.
    pub(crate) fn ask(&mut self, message: HostMessage) -> GuestMessage {
        let call = self.call(message);
        loop {
            match self.hear() {
                FromVm::Guest(GuestFrame { call: of, message }) if of == call => return message,
                FromVm::Logged(record) => self.records.push(record),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    pub(crate) fn call(&mut self, message: HostMessage) -> u32 {
        self.next_call += 1;
        let call = self.next_call;
        self.say(&ToVm::Host(HostFrame { call, message }));
        call
    }

    /// Runs a line to its end.
    pub(crate) fn run(&mut self, line: &str) -> Said {
        self.run_at(line, now_us() / 1_000)
    }

    pub(crate) fn run_at(&mut self, line: &str, at_ms: u64) -> Said {
        let exec = ExecId::from_random(u64::from(self.next_call).to_le_bytes());
        let call = self.call(HostMessage::Exec(Box::new(ExecStart {
            exec: exec.clone(),
            line: line.to_owned(),
            program: Program::Shell(line.to_owned()),
            cwd: "/workspace".to_owned(),
            environment: vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())],
            stdin: None,
            timeout_ms: 60_000,
            kept_bytes: 1 << 20,
            follow: Follow::End,
            at_ms,
        })));
        let mut output = [Vec::new(), Vec::new()];
        loop {
            match self.hear() {
                FromVm::Output { exec: of, stream, bytes } => {
                    assert_eq!(of, exec);
                    output[usize::from(stream == OutputStream::Stderr)].extend(bytes);
                }
                FromVm::Guest(GuestFrame { call: of, message }) => {
                    assert_eq!(of, call);
                    let end = match message {
                        GuestMessage::Started { .. } => continue,
                        GuestMessage::Finished(end) => end,
                        other => panic!("{line}: {other:?}"),
                    };
                    assert_eq!(end.stdout_bytes, output[0].len() as u64);
                    assert_eq!(end.stderr_bytes, output[1].len() as u64);
                    let [stdout, stderr] =
                        output.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                    return Said { stdout, stderr, end };
                }
                FromVm::Logged(record) => self.records.push(record),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// What a line that must work prints.
    pub(crate) fn output(&mut self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.end.exit_code, Some(0), "{line}: {said:?}");
        said.stdout
    }

    /// What the end of a monitor looks like from inside.
    pub(crate) fn hang_up(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// Waits for QEMU's own end.
    pub(crate) fn ended(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it does not end: {}", self.console());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // `timeout` passes the signal on to the QEMU that it started.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.child.wait();
    }
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap()
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
