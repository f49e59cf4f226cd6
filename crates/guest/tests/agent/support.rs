//! An agent as an ordinary process over temporary directories (`pyro-guest plain`), and words to
//! talk to it with.

use std::{
    fs,
    os::{fd::OwnedFd, unix::net::UnixListener, unix::net::UnixStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use pyro_machine::{Guest, GuestError};
use pyro_model::{ExecId, OutputStream};
use pyro_protocol::{
    GuestMessage, HostMessage,
    exec::{ExecStart, Finished, Follow, Program},
    message::RefusalKind,
    spool::{self, Record},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Agent {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) child: Child,
    in_namespace: bool,
}

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) idle_s: u64,
    pub(crate) inspect: bool,
    pub(crate) lowers: usize,
    /// Descriptors that the agent may have.
    pub(crate) open_files: Option<u32>,
    /// An unprivileged user of its own, with this many processes at most.
    pub(crate) user: Option<(u32, u32)>,
    /// A spool of so many KiB, on a file system of its own (which the test cannot see).
    pub(crate) spool_kib: Option<u32>,
    /// `/workspace` is a real overlay over the layers, in a mount namespace of its own.
    pub(crate) overlay: bool,
}

impl Agent {
    pub(crate) fn start() -> Self {
        Self::with(&Options { lowers: 1, ..Options::default() })
    }

    pub(crate) fn with(options: &Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["workspace", "spool", "upper"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for number in 0..options.lowers {
            fs::create_dir(folder.path().join(format!("lower{number}"))).unwrap();
        }
        Self::over(folder, options)
    }

    pub(crate) fn over(folder: tempfile::TempDir, options: &Options) -> Self {
        let socket = folder.path().join("sock");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let program = env!("CARGO_BIN_EXE_pyro-guest");
        let mut command = match (options.user, options.open_files) {
            (Some((user, processes)), _) => {
                // Process 1 of a pid namespace: with it everything inside ends.
                let mut command = Command::new("unshare");
                command.args(["--pid", "--fork", "--mount-proc", "setpriv"]);
                let id = user.to_string();
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "prlimit"]);
                command.arg(format!("--nproc={processes}"));
                command.arg(program);
                let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o777);
                for name in ["", "workspace", "spool", "upper", "lower0"] {
                    let mode = fs::Permissions::clone(&everyone);
                    let _ = fs::set_permissions(folder.path().join(name), mode);
                }
                command
            }
            (None, Some(files)) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={files}:{files}")).arg(program);
                command
            }
            (None, None) => Command::new(program),
        };
        let at = folder.path().display();
        let mount = if let Some(kib) = options.spool_kib {
            Some(format!("mount -t tmpfs -o size={kib}k none {at}/spool"))
        } else if options.overlay {
            fs::create_dir_all(folder.path().join("work")).unwrap();
            let lowers: Vec<_> =
                (0..options.lowers).map(|number| format!("{at}/lower{number}")).collect();
            let lowers = lowers.join(":");
            Some(format!(
                "mount -t overlay -o userxattr,lowerdir={lowers},upperdir={at}/upper,\
                 workdir={at}/work none {at}/workspace"
            ))
        } else {
            None
        };
        if let Some(mount) = mount {
            command = Command::new("unshare");
            command.args(["--mount", "sh", "-c"]).arg(format!("{mount} && exec \"$@\""));
            command.arg("sh").arg(program);
        }
        command
            .arg("plain")
            .arg(folder.path().join("workspace"))
            .arg(folder.path().join("spool"))
            .arg(folder.path().join("upper"))
            .arg("00112233445566778899aabbccddeeff")
            .arg(options.idle_s.to_string())
            .arg(if options.inspect { "inspect" } else { "work" });
        for number in 0..options.lowers {
            command.arg(folder.path().join(format!("lower{number}")));
        }
        let child = command
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, child, in_namespace: options.user.is_some() }
    }

    pub(crate) fn stream(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("sock")).unwrap()
    }

    pub(crate) fn connect(&self) -> Guest {
        Guest::handshake(self.stream(), PATIENCE).unwrap()
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let bytes = fs::read(self.path("spool/events")).unwrap();
        let (records, taken) = spool::decode_records(&bytes);
        assert_eq!(taken, bytes.len(), "the log is whole");
        records
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits for the agent's own end.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "the agent does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What of a command's stream is on the disk, whole only if it fits.
    pub(crate) fn spooled(&self, exec: &ExecId, stream: OutputStream) -> Vec<u8> {
        fs::read(self.path("spool").join(spool::output_file(exec, stream))).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        // SIGTERM lets it end what runs; SIGKILL is for one that hangs. Each goes to the process
        // that this test started, or to the one child of it that is the agent.
        let id = self.child.id();
        let inner = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let own = self.in_namespace.then(|| inner.ok()).flatten();
        let agent = own.and_then(|ids| ids.split_whitespace().next().map(str::to_owned));
        let agent = agent.unwrap_or_else(|| id.to_string());
        for signal in ["-TERM", "-KILL"] {
            let _ = Command::new("kill").args([signal, &agent]).status();
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                if self.has_ended() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

pub(crate) fn fresh_id() -> ExecId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    ExecId::from_random(NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes())
}

pub(crate) fn shell(line: &str) -> ExecStart {
    ExecStart {
        exec: fresh_id(),
        line: line.to_owned(),
        program: Program::Shell(line.to_owned()),
        cwd: "/workspace".to_owned(),
        environment: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
        stdin: None,
        timeout_ms: 30_000,
        kept_bytes: 1 << 20,
        follow: Follow::Output { stdout: 0, stderr: 0 },
        at_ms: 0,
    }
}

pub(crate) fn words(words: &[&str]) -> ExecStart {
    let program = Program::Words(words.iter().map(|word| (*word).to_owned()).collect());
    ExecStart { program, ..shell(&words.join(" ")) }
}

/// Everything that a followed command said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) pid: Option<u32>,
    pub(crate) finished: Option<Finished>,
}

impl Said {
    pub(crate) fn end(&self) -> &Finished {
        self.finished.as_ref().unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

pub(crate) fn run(guest: &mut Guest, start: ExecStart) -> Said {
    let call = guest.send(HostMessage::Exec(Box::new(start))).unwrap();
    follow(guest, call)
}

/// Reads a followed call to its end, granting what was used.
pub(crate) fn follow(guest: &mut Guest, call: u32) -> Said {
    let mut said = Said::default();
    loop {
        match guest.receive(call, Some(Instant::now() + PATIENCE), None).unwrap() {
            GuestMessage::Started { pid } => said.pid = Some(pid),
            GuestMessage::Output { stream, offset, bytes } => {
                let into = match stream {
                    OutputStream::Stdout => &mut said.stdout,
                    OutputStream::Stderr => &mut said.stderr,
                };
                assert_eq!(offset, into.len() as u64, "nothing is skipped here");
                into.extend_from_slice(&bytes);
                let bytes = bytes.len() as u32;
                guest.send_on(call, HostMessage::Credit { bytes }).unwrap();
            }
            GuestMessage::Finished(finished) => {
                said.finished = Some(finished);
                return said;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

pub(crate) fn start(guest: &mut Guest, start: ExecStart) -> (u32, u32) {
    let call = guest.send(HostMessage::Exec(Box::new(start))).unwrap();
    match guest.receive(call, Some(Instant::now() + PATIENCE), None).unwrap() {
        GuestMessage::Started { pid } => (call, pid),
        other => panic!("unexpected {other:?}"),
    }
}

pub(crate) fn ask(guest: &mut Guest, message: HostMessage) -> GuestMessage {
    guest.ask(message, PATIENCE, None).unwrap()
}

pub(crate) fn refused(guest: &mut Guest, message: HostMessage) -> (RefusalKind, String) {
    match guest.ask(message, PATIENCE, None) {
        Err(GuestError::Refused(refusal)) => (refusal.kind, refusal.message),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Waits for something that another process does.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "it never came to be that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}
