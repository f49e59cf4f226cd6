//! M's state while the VM runs, and the loop: wait, handle what is ready and what is due, then
//! write what has been answered.
//!
//! Promises: one thread, no polling, no cost while nobody asks; nothing that a door or the guest
//! does grows M without bound (`door` and `port` say how); the guest cannot name what is not open.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    time::{Duration, Instant},
};

use pyro_model::time::Timestamp;
use pyro_protocol::{
    launch::AgentSpec,
    spool::{Record, StopReason},
    vm::{FromVm, ToVm},
};
use pyro_sys::{Context, Result};
use rustix::{
    fs::{Mode, OFlags, openat},
    io::fcntl_dupfd_cloexec,
};

use super::{
    calls::Forwarded,
    clock::{Clock, now_us},
    commands::Commands,
    console::Console,
    door::Door,
    ending::{End, Ending},
    poller::{Poller, Token},
    port::{Gone, Port},
    qmp::Qmp,
};
use crate::spool::EventLog;

/// Bytes taken from a descriptor in one read.
const SCRATCH: usize = 64 << 10;
/// Reads from the channel in one turn of the loop.
const READS: usize = 16;
/// How long a machine that was started only to be looked at waits for its first connection.
const FIRST_DOOR: Duration = Duration::from_secs(60);

/// A call of a door: its connection and its number.
pub(super) type Caller = (u64, u32);

/// What M serves, once the agent answers.
pub struct Served {
    /// Already listening; whoever may connect may ask anything.
    pub listener: UnixListener,
    /// The directory of the event log and the output files.
    pub spool: OwnedFd,
    /// What the agent was told.
    pub agent: AgentSpec,
    /// Readable once Q has ended: a pidfd.
    pub process: OwnedFd,
    /// Readable when pyro ends the machine: a descriptor of signals.
    pub signals: OwnedFd,
    /// The writable disk, synced after an orderly end.
    pub disk: Option<OwnedFd>,
    /// How long after its time the guest may end what it was told to end by itself.
    pub lenience: Duration,
}

/// Q's ends of its three sockets, as M uses them.
pub(super) struct Lines {
    pub(super) port: Port,
    pub(super) qmp: Qmp,
    pub(super) console: Console,
}

pub(super) struct Monitor {
    pub(super) agent: AgentSpec,
    pub(super) listener: UnixListener,
    pub(super) process: OwnedFd,
    pub(super) signals: OwnedFd,
    pub(super) disk: Option<OwnedFd>,
    pub(super) spool: OwnedFd,
    pub(super) log: EventLog,
    pub(super) port: Port,
    pub(super) qmp: Qmp,
    pub(super) console: Console,
    pub(super) clock: Option<Clock>,
    pub(super) poller: Poller,
    pub(super) doors: BTreeMap<u64, Door>,
    pub(super) commands: Commands,
    /// Calls that are open in the guest, by their numbers there.
    pub(super) forwarded: BTreeMap<u32, Forwarded>,
    pub(super) next_call: u32,
    /// Doors that were answered or became writable in this turn.
    pub(super) touched: BTreeSet<u64>,
    /// Doors with more frames than one turn takes.
    pub(super) backlog: Vec<u64>,
    /// What the log's last record will be.
    pub(super) end: Option<End>,
    pub(super) ending: Option<Ending>,
    pub(super) over: bool,
    pub(super) inspect_until: Option<Instant>,
    pub(super) lenience: Duration,
    /// When a guest that keeps to nothing may be found out (`overdue`).
    pub(super) overdue_at: Option<Instant>,
    /// When a door last said something.
    pub(super) last_use: Instant,
    pub(super) scratch: Vec<u8>,
    port_interest: (bool, bool),
    /// A door's frames wait for the guest to read.
    pub(super) held_up: bool,
    next_number: u64,
    /// Given up for a moment to be able to turn a door away when descriptors run out.
    pub(super) spare: Option<OwnedFd>,
}

impl Monitor {
    pub(super) fn new(served: Served, lines: Lines) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let spool = openat(&served.spool, ".", flags, Mode::empty()).doing("open", "the spool")?;
        let mut log =
            EventLog::open(spool.as_fd()).map_err(|error| error.source).doing("open", "the log")?;
        log.append(&Record::MachineStarted { at_ms: Timestamp::now().0, boot: served.agent.boot });
        served.listener.set_nonblocking(true).doing("set up", "the listening socket")?;
        let poller = Poller::new()?;
        poller.add(&served.listener, Token::Listener)?;
        poller.add(&served.signals, Token::Signals)?;
        poller.add(&served.process, Token::Process)?;
        poller.add(lines.port.stream(), Token::Port)?;
        poller.add(lines.qmp.socket(), Token::Control)?;
        poller.add(lines.console.stream(), Token::Console)?;
        // A host without such timers never tells its guests of a jump; nothing else depends on it.
        let clock = Clock::new().ok();
        if let Some(clock) = &clock {
            poller.add(clock.timer(), Token::Clock)?;
        }
        let spare = fcntl_dupfd_cloexec(&spool, 0).ok();
        let now = Instant::now();
        let inspect_until = served.agent.inspect_only.then(|| now + FIRST_DOOR);
        let mut monitor = Self {
            agent: served.agent,
            listener: served.listener,
            process: served.process,
            signals: served.signals,
            disk: served.disk,
            spool,
            log,
            port: lines.port,
            qmp: lines.qmp,
            console: lines.console,
            clock,
            poller,
            doors: BTreeMap::new(),
            commands: Commands::default(),
            forwarded: BTreeMap::new(),
            next_call: 0,
            touched: BTreeSet::new(),
            backlog: Vec::new(),
            end: None,
            ending: None,
            over: false,
            inspect_until,
            lenience: served.lenience,
            overdue_at: None,
            last_use: now,
            scratch: vec![0; SCRATCH],
            port_interest: (true, false),
            held_up: false,
            next_number: 1,
            spare,
        };
        monitor.overdue_at = monitor.idle_limit().map(|limit| now + limit);
        Ok(monitor)
    }

    /// Serves until Q has ended and everything of it is written down.
    pub(super) fn serve(&mut self) -> Result<()> {
        // What came with the last word of the start.
        self.take_frames();
        let mut ready = Vec::new();
        while !self.over {
            let deadline =
                if self.backlog.is_empty() { self.due_at() } else { Some(Instant::now()) };
            self.poller.wait(deadline, &mut ready)?;
            for token in ready.drain(..) {
                self.on_ready(token);
            }
            self.on_due();
            self.touched.extend(std::mem::take(&mut self.backlog));
            self.settle();
        }
        Ok(())
    }

    /// Goes on with every door that has something, and writes to the guest.
    fn settle(&mut self) {
        loop {
            while let Some(number) = self.touched.pop_first() {
                self.advance(number);
            }
            // Q's end is heard of through its process.
            let _ = self.port.flush();
            if self.held_up && !self.port.is_full() {
                self.held_up = false;
                self.touched.extend(self.doors.keys().copied());
            }
            if self.touched.is_empty() {
                break;
            }
        }
        let interest = (self.port_interest.0, self.port.waiting() > 0);
        self.watch_port(interest);
    }

    fn watch_port(&mut self, interest: (bool, bool)) {
        if interest != self.port_interest {
            self.port_interest = interest;
            // Out of memory: the next change tells again.
            let _ = self.poller.change(self.port.stream(), Token::Port, interest);
        }
    }

    fn on_ready(&mut self, token: Token) {
        match token {
            Token::Listener => self.accept(),
            Token::Signals => self.asked_to_end(),
            Token::Clock => {
                if self.clock.as_ref().is_some_and(Clock::jumped) {
                    self.port.send(&ToVm::Clock { at_us: now_us() });
                }
            }
            Token::Port => {
                if self.read_port().is_err() {
                    // Closed: Q is on its way out, which its process tells.
                    self.poller.remove(self.port.stream());
                }
            }
            Token::Control => self.read_control(),
            Token::Console => {
                if !self.console.fill() {
                    self.poller.remove(self.console.stream());
                }
            }
            Token::Process => self.qemu_ended(),
            Token::Door(number) => {
                let Some(door) = self.doors.get_mut(&number) else { return };
                if door.interest.0 && door.fill(&mut self.scratch).is_err() {
                    self.drop_door(number);
                } else {
                    self.touched.insert(number);
                }
            }
        }
    }

    fn read_port(&mut self) -> std::result::Result<(), Gone> {
        for _ in 0..READS {
            if !self.port.fill(&mut self.scratch)? {
                break;
            }
            self.take_frames();
        }
        Ok(())
    }

    /// Everything that Q sent before it ended.
    pub(super) fn drain_port(&mut self) {
        while let Ok(true) = self.port.fill(&mut self.scratch) {
            self.take_frames();
        }
    }

    fn take_frames(&mut self) {
        loop {
            match self.port.next() {
                Ok(None) => return,
                Ok(Some(frame)) => self.on_frame(frame),
                Err(error) => {
                    self.poller.remove(self.port.stream());
                    return self.fail(format!("the guest sent what is no message ({error})"));
                }
            }
        }
    }

    fn on_frame(&mut self, frame: FromVm) {
        match frame {
            FromVm::Guest(frame) => self.on_answer(frame),
            FromVm::Logged(record) => self.on_record(record),
            FromVm::Output { exec, stream, bytes } => self.on_output(&exec, stream, &bytes),
            FromVm::Synced => self.synced(),
            FromVm::Ended => {
                self.ends_as(End::Stopped(StopReason::Asked));
                self.quit();
            }
            // Words of the start, which is over.
            FromVm::Waiting { .. } | FromVm::Awake | FromVm::Failed { .. } => {}
        }
    }

    /// What QEMU tells while the VM runs needs no answer; it is read so that it never waits.
    fn read_control(&mut self) {
        let open = matches!(self.qmp.fill(), Ok(true));
        // Also what is no line of the protocol.
        while !matches!(self.qmp.next(), Ok(None)) {}
        if !open {
            self.poller.remove(self.qmp.socket());
        }
    }

    pub(super) fn fresh_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}
