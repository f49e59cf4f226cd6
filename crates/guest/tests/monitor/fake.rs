//! A service whose VM is played by the test: the guest's end of the channel, QEMU's control socket,
//! a process whose end the test says.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use pyro_guest::monitor::{Served, serve};
use pyro_machine::Guest;
use pyro_protocol::{
    Decoder, GuestFrame, GuestMessage, HostFrame, encode,
    launch::AgentSpec,
    spool::{self, Record},
    vm::{FromVm, ToVm},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Played {
    pub(crate) folder: tempfile::TempDir,
    /// The guest's end.
    pub(crate) guest: UnixStream,
    decoder: Decoder,
    /// QEMU's end.
    pub(crate) control: UnixStream,
    /// Dropped when QEMU "ends".
    process: Option<UnixStream>,
    pub(crate) signals: UnixStream,
    service: Option<JoinHandle<bool>>,
}

impl Played {
    pub(crate) fn start() -> Self {
        Self::with(false)
    }

    pub(crate) fn with(inspect_only: bool) -> Self {
        Self::limited(inspect_only, 0, PATIENCE)
    }

    /// One that is unused for so long at most, and may be late by so much.
    pub(crate) fn limited(inspect_only: bool, idle_ttl_s: u64, lenience: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("spool")).unwrap();
        let (port, guest) = UnixStream::pair().unwrap();
        let (control, qemu) = UnixStream::pair().unwrap();
        let (console, _) = UnixStream::pair().unwrap();
        let (process, theirs) = UnixStream::pair().unwrap();
        let (signals, signal) = UnixStream::pair().unwrap();
        for ours in [&port, &control, &console, &signals] {
            ours.set_nonblocking(true).unwrap();
        }
        guest.set_read_timeout(Some(PATIENCE)).unwrap();
        qemu.set_read_timeout(Some(PATIENCE)).unwrap();
        let served = Served {
            listener: UnixListener::bind(folder.path().join("sock")).unwrap(),
            spool: fs::File::open(folder.path().join("spool")).unwrap().into(),
            agent: AgentSpec { idle_ttl_s, inspect_only, boot: [9; 16], at_ms: 0 },
            process: process.into(),
            signals: signals.into(),
            disk: None,
            lenience,
        };
        let (port, control, console): (OwnedFd, OwnedFd, OwnedFd) =
            (port.into(), control.into(), console.into());
        let service = std::thread::spawn(move || serve(served, port, control, console).is_ok());
        Self {
            folder,
            guest,
            decoder: Decoder::default(),
            control: qemu,
            process: Some(theirs),
            signals: signal,
            service: Some(service),
        }
    }

    pub(crate) fn stream(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("sock")).unwrap()
    }

    pub(crate) fn door(&self) -> Guest {
        Guest::handshake(self.stream(), PATIENCE).unwrap()
    }

    /// A door where none may be taken any more.
    pub(crate) fn door_or_none(&self) -> Option<Guest> {
        Guest::handshake(self.stream(), PATIENCE).ok()
    }

    /// The next frame that reaches the guest.
    pub(crate) fn heard(&mut self) -> ToVm {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return frame;
            }
            let bytes = self.guest.read(&mut buffer).expect("the guest hears nothing");
            assert!(bytes > 0, "the channel is closed");
            self.decoder.push(&buffer[..bytes]);
        }
    }

    /// The next call that reaches the guest.
    pub(crate) fn call(&mut self) -> HostFrame {
        match self.heard() {
            ToVm::Host(frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn say(&mut self, frame: &FromVm) {
        let mut wire = Vec::new();
        encode(frame, &mut wire).unwrap();
        self.guest.write_all(&wire).unwrap();
    }

    pub(crate) fn answer(&mut self, call: u32, message: GuestMessage) {
        self.say(&FromVm::Guest(GuestFrame { call, message }));
    }

    /// The next command for QEMU.
    pub(crate) fn command(&mut self) -> String {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while byte != *b"\n" {
            self.control.read_exact(&mut byte).expect("QEMU hears nothing");
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// QEMU ends; what the service left behind.
    pub(crate) fn end(mut self) -> (tempfile::TempDir, Vec<Record>) {
        self.process = None;
        let service = self.service.take().unwrap();
        let until = Instant::now() + PATIENCE;
        while !service.is_finished() {
            assert!(Instant::now() < until, "the service does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(service.join().unwrap());
        let records = self.records();
        let Self { folder, .. } = self;
        (folder, records)
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let bytes = fs::read(self.folder.path().join("spool/events")).unwrap();
        let (records, taken) = spool::decode_records(&bytes);
        assert_eq!(taken, bytes.len(), "the log is whole");
        records
    }

    pub(crate) fn spooled(&self, name: &str) -> PathBuf {
        self.folder.path().join("spool").join(name)
    }
}
