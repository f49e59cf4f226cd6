//! An agent at the other end of a socket pair (`pyro-guest plain` with `-` as its spool), and words
//! to talk to it with.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use pyro_model::{ExecId, OutputStream};
use pyro_protocol::{
    Decoder, GuestFrame, GuestMessage, HostFrame, HostMessage, encode,
    exec::{ExecStart, Finished, Follow, Program},
    vm::{FromVm, ToVm},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Agent {
    folder: tempfile::TempDir,
    child: Child,
    stream: Option<UnixStream>,
    decoder: Decoder,
    next_call: u32,
    began: Instant,
}

impl Agent {
    pub(crate) fn start() -> Self {
        Self::with(0, "work")
    }

    pub(crate) fn with(idle_s: u64, what_for: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["workspace", "upper"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_pyro-guest"))
            .arg("plain")
            .arg(folder.path().join("workspace"))
            .arg("-")
            .arg(folder.path().join("upper"))
            .args(["11223344556677889900aabbccddeeff", &idle_s.to_string(), what_for])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            folder,
            child,
            stream: Some(ours),
            decoder: Decoder::default(),
            next_call: 0,
            began: Instant::now(),
        }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path("workspace").join(name), content).unwrap();
    }

    /// Files that the agent left anywhere but in the workspace.
    pub(crate) fn spooled(&self) -> usize {
        let all = fs::read_dir(self.folder.path()).unwrap().count();
        all - 2 + fs::read_dir(self.path("upper")).unwrap().count()
    }

    pub(crate) fn say(&mut self, frame: &ToVm) {
        let mut wire = Vec::new();
        encode(frame, &mut wire).unwrap();
        self.stream.as_mut().unwrap().write_all(&wire).unwrap();
    }

    pub(crate) fn hear(&mut self) -> FromVm {
        self.next().unwrap()
    }

    fn next(&mut self) -> Option<FromVm> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            // What is waited for may drown in what else comes.
            assert!(self.began.elapsed() < 4 * PATIENCE, "it never came");
            if let Some(frame) = self.decoder.next().unwrap() {
                return Some(frame);
            }
            let bytes = self.stream.as_mut()?.read(&mut buffer).unwrap();
            if bytes == 0 {
                return None;
            }
            self.decoder.push(&buffer[..bytes]);
        }
    }

    /// Everything until the agent closes its end.
    pub(crate) fn hear_to_the_end(&mut self) -> Vec<FromVm> {
        std::iter::from_fn(|| self.next()).collect()
    }

    pub(crate) fn call(&mut self, message: HostMessage) -> u32 {
        self.next_call += 1;
        let call = self.next_call;
        self.say(&ToVm::Host(HostFrame { call, message }));
        call
    }

    /// The first answer to a message; what else comes before it is lost.
    pub(crate) fn ask(&mut self, message: HostMessage) -> GuestMessage {
        let wanted = self.call(message);
        loop {
            if let FromVm::Guest(GuestFrame { call, message }) = self.hear()
                && call == wanted
            {
                return message;
            }
        }
    }

    /// Everything up to the end of a command.
    pub(crate) fn until_finished(&mut self, wanted: u32) -> Vec<FromVm> {
        let mut frames = Vec::new();
        loop {
            let frame = self.hear();
            let over = matches!(&frame, FromVm::Guest(GuestFrame { call, message })
                if *call == wanted && message.ends_call());
            frames.push(frame);
            if over {
                return frames;
            }
        }
    }

    pub(crate) fn until_output(&mut self, wanted: &ExecId) {
        while !matches!(self.hear(), FromVm::Output { exec, .. } if exec == *wanted) {}
    }

    pub(crate) fn hang_up(&mut self) {
        self.stream = None;
    }

    pub(crate) fn resident_kib(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Processor time that the agent has used, in hundredths of a second.
    pub(crate) fn ticks(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, rest) = text.rsplit_once(')').unwrap();
        rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

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
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Without its monitor it ends by itself, and its commands with it.
        self.stream = None;
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn shell(line: &str) -> ExecStart {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    ExecStart {
        exec: ExecId::from_random(NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes()),
        line: line.to_owned(),
        program: Program::Shell(line.to_owned()),
        cwd: "/workspace".to_owned(),
        environment: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
        stdin: None,
        timeout_ms: 60_000,
        kept_bytes: 1 << 20,
        follow: Follow::End,
        at_ms: 0,
    }
}

pub(crate) fn is_answer(frame: &FromVm, holds: impl Fn(&GuestMessage) -> bool) -> bool {
    matches!(frame, FromVm::Guest(frame) if holds(&frame.message))
}

pub(crate) fn output_of(frames: &[FromVm], wanted: &ExecId, of: OutputStream) -> Vec<u8> {
    let bytes = frames.iter().filter_map(|frame| match frame {
        FromVm::Output { exec, stream, bytes } if exec == wanted && *stream == of => Some(bytes),
        _ => None,
    });
    bytes.flatten().copied().collect()
}

/// How the command ended of which `frames` are everything to its end.
pub(crate) fn end_of(frames: &[FromVm]) -> &Finished {
    match frames.last() {
        Some(FromVm::Guest(GuestFrame { message: GuestMessage::Finished(end), .. })) => end,
        other => panic!("{other:?}"),
    }
}
