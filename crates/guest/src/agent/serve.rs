//! The agent's state, and the loop: wait, handle what is ready, what is due, and one slice of
//! every piece of work; then write what has been answered.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    time::{Duration, Instant},
};

use pyro_model::{ExecId, time::Timestamp};
use pyro_protocol::spool::{Record, StopReason};
use pyro_sys::child::{SingleThread, ignore_sigpipe, reset_signals, signal_descriptor};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::{Errno, fcntl_dupfd_cloexec},
    net::{SocketFlags, accept_with},
    process::{
        DumpableBehavior, Resource, Rlimit, getpid, getrlimit, set_child_subreaper,
        set_dumpable_behavior, setrlimit, umask,
    },
};

use super::{
    AgentConfig, AgentError, Doors, ExitReason,
    connection::Connection,
    ending::Ending,
    exec::{Caller, Exec},
    files::{self, Workspace},
    poller::{Poller, Token},
    timers::{Due, Timers},
};
use crate::spool::EventLog;

/// Connections at once; more are closed as they come.
const CONNECTIONS: usize = 256;
/// Bytes taken from a descriptor in one read: as much as a pipe holds.
const SCRATCH: usize = 64 << 10;
/// How long a machine that was started only to be looked at waits for its first connection.
const FIRST_CONNECTION: Duration = Duration::from_secs(60);

/// How long the calls of one connection may take before others have their turn.
const TURN: Duration = Duration::from_millis(5);

const SIGCHLD: i32 = 17;
const SIGTERM: i32 = 15;

pub(super) struct Agent {
    pub(super) config: AgentConfig,
    pub(super) workspace: std::rc::Rc<Workspace>,
    pub(super) poller: Poller,
    pub(super) timers: Timers,
    /// Where doors connect, in a container.
    listener: Option<UnixListener>,
    /// What is written down here, in a container.
    pub(super) spool: Option<Spool>,
    /// The number of the one connection, in a VM.
    pub(super) channel: Option<u64>,
    pub(super) set_clock: fn(u64),
    /// Output that waits for room on the port: its pipe is not watched meanwhile.
    pub(super) held: BTreeSet<(u64, usize)>,
    pub(super) proof: SingleThread,
    pub(super) proc: OwnedFd,
    pub(super) null: OwnedFd,
    pub(super) signals: OwnedFd,
    pub(super) open_files: Rlimit,
    pub(super) connections: BTreeMap<u64, Connection>,
    pub(super) execs: BTreeMap<u64, Exec>,
    pub(super) by_id: BTreeMap<ExecId, u64>,
    pub(super) by_supervisor: BTreeMap<i32, u64>,
    /// Finished commands, oldest first.
    pub(super) remembered: VecDeque<u64>,
    /// Trees whose next step is due at once.
    pub(super) sweeping: BTreeSet<u64>,
    /// Jobs whose next slice is due.
    pub(super) work: VecDeque<Caller>,
    /// Connections that were answered or became writable in this turn.
    pub(super) touched: BTreeSet<u64>,
    pub(super) ending: Option<Ending>,
    pub(super) exit: Option<ExitReason>,
    pub(super) began: Instant,
    pub(super) last_use: Instant,
    pub(super) scratch: Vec<u8>,
    /// More children may wait to be reaped than one turn takes.
    pub(super) reap_again: bool,
    /// Connections with more calls than one turn takes.
    backlog: Vec<u64>,
    next_number: u64,
    /// Given up for a moment to be able to turn a connection away when descriptors run out.
    spare: Option<OwnedFd>,
}

/// The directory of output files, and the log in it.
pub(super) struct Spool {
    pub(super) directory: OwnedFd,
    pub(super) log: EventLog,
}

impl Agent {
    pub(super) fn start(config: AgentConfig, doors: Doors) -> Result<Self, AgentError> {
        let proof = config.alone.map_or_else(SingleThread::check, Ok);
        let proof = proof.map_err(AgentError::on("be", "a single thread"))?;
        occupy_standard_numbers()?;
        reset_signals(&[SIGCHLD, SIGTERM]).map_err(AgentError::on("reset", "signals"))?;
        ignore_sigpipe();
        let awaited: &[i32] = if config.ends_on_sigterm { &[SIGCHLD, SIGTERM] } else { &[SIGCHLD] };
        let signals =
            signal_descriptor(awaited).map_err(AgentError::on("make", "a signal descriptor"))?;
        set_child_subreaper(Some(getpid())).map_err(AgentError::on("be", "a subreaper"))?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(AgentError::on("forbid", "tracing"))?;
        umask(Mode::WGRP | Mode::WOTH);
        let open_files = raise_open_files();
        let null = open_path("/dev/null", OFlags::RDWR)?;
        let spare = Some(open_path("/dev/null", OFlags::RDONLY)?);
        let proc = open_path("/proc", OFlags::PATH | OFlags::DIRECTORY)?;
        let workspace = Workspace::new(&config, matches!(doors, Doors::Port(_)))?;
        files::patch::recover(&workspace);
        let poller = Poller::new()?;
        poller.add(&signals, Token::Signals).map_err(AgentError::on("watch", "signals"))?;
        let now = Instant::now();
        let mut timers = Timers::default();
        if !config.spec.inspect_only && config.spec.idle_ttl_s > 0 {
            timers.set(now + Duration::from_secs(config.spec.idle_ttl_s), Due::Idle);
        }
        let mut agent = Self {
            config,
            workspace: std::rc::Rc::new(workspace),
            poller,
            timers,
            listener: None,
            spool: None,
            channel: None,
            set_clock: drop,
            held: BTreeSet::new(),
            proof,
            proc,
            null,
            signals,
            open_files,
            connections: BTreeMap::new(),
            execs: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_supervisor: BTreeMap::new(),
            remembered: VecDeque::new(),
            sweeping: BTreeSet::new(),
            work: VecDeque::new(),
            touched: BTreeSet::new(),
            ending: None,
            exit: None,
            began: now,
            last_use: now,
            scratch: vec![0; SCRATCH],
            reap_again: false,
            backlog: Vec::new(),
            next_number: 1,
            spare,
        };
        match doors {
            Doors::Sockets { listener, spool } => agent.listen(listener, &spool)?,
            Doors::Port(port) => agent.take_port(port)?,
        }
        let boot = agent.config.spec.boot;
        agent.note(Record::MachineStarted { at_ms: Timestamp::now().0, boot });
        Ok(agent)
    }

    fn listen(&mut self, listener: UnixListener, spool: &OwnedFd) -> Result<(), AgentError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(spool, ".", flags, Mode::empty())
            .map_err(AgentError::on("open", "the spool"))?;
        let log = EventLog::open(directory.as_fd())?;
        self.spool = Some(Spool { directory, log });
        let on = || AgentError::on("watch", "the listening socket");
        listener.set_nonblocking(true).map_err(on())?;
        self.poller.add(&listener, Token::Listener).map_err(|errno| on()(errno.into()))?;
        self.listener = Some(listener);
        if self.config.spec.inspect_only {
            self.timers.set(self.began + FIRST_CONNECTION, Due::Idle);
        }
        Ok(())
    }

    pub(super) fn serve(&mut self) -> ExitReason {
        let mut ready = Vec::new();
        loop {
            if let Some(reason) = self.exit.take() {
                return reason;
            }
            let at_once = self.reap_again
                || !(self.work.is_empty() && self.sweeping.is_empty())
                || !(self.backlog.is_empty() && self.touched.is_empty());
            let deadline = if at_once { Some(Instant::now()) } else { self.timers.next_at() };
            if let Err(error) = self.poller.wait(deadline, &mut ready) {
                return ExitReason::Failed(error);
            }
            for token in ready.drain(..) {
                self.on_ready(token);
            }
            if std::mem::take(&mut self.reap_again) {
                self.reap();
            }
            let now = Instant::now();
            while let Some(due) = self.timers.take_due(now) {
                self.on_due(due);
            }
            for number in std::mem::take(&mut self.sweeping) {
                self.sweep_step(number);
            }
            for _ in 0..self.work.len() {
                if let Some(caller) = self.work.pop_front() {
                    self.slice(caller);
                }
            }
            self.touched.extend(self.backlog.drain(..));
            while let Some(number) = self.touched.pop_first() {
                self.advance(number);
            }
        }
    }

    fn on_ready(&mut self, token: Token) {
        match token {
            Token::Listener => self.accept(),
            Token::Signals => self.on_signals(),
            Token::Connection(number) => self.take_bytes(number),
            Token::Port => self.take_bytes(self.channel.unwrap_or_default()),
            Token::PortGone => self.drop_connection(self.channel.unwrap_or_default()),
            Token::Report(number) => self.read_report(number),
            Token::Output(number, stream) => self.read_output(number, stream),
        }
    }

    fn take_bytes(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if connection.interest.0 && connection.fill(&mut self.scratch).is_err() {
            self.drop_connection(number);
        } else {
            self.touched.insert(number);
        }
    }

    fn on_due(&mut self, due: Due) {
        match due {
            Due::Timeout(number) => self.time_out(number),
            Due::Grace(number) => self.begin_sweep(number),
            Due::Bound(number) => self.give_up_on(number),
            Due::Idle => self.check_idle(),
            Due::ShutdownGrace => self.sweep_all(),
            Due::ShutdownBound => self.finish_ending(),
        }
    }

    pub(super) fn fresh_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for _ in 0..CONNECTIONS {
            let Some(listener) = &self.listener else { return };
            match accept_with(listener, flags) {
                Ok(stream) if self.connections.len() < CONNECTIONS => {
                    let number = self.fresh_number();
                    if self.poller.add(&stream, Token::Connection(number)).is_ok() {
                        self.connections.insert(number, Connection::new(stream));
                    }
                }
                // Turned away by being closed.
                Ok(_) => {}
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                // Left in the queue it would wake the loop for ever. The system says this also
                // when nobody waits.
                Err(Errno::MFILE | Errno::NFILE) if self.spare.take().is_some() => {
                    let turned_away = accept_with(listener, flags).is_ok();
                    self.spare = fcntl_dupfd_cloexec(&self.null, 0).ok();
                    if !turned_away {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Forgets a connection and its calls; commands go on, but not without a VM's channel.
    pub(super) fn drop_connection(&mut self, number: u64) {
        let Some(connection) = self.connections.remove(&number) else { return };
        self.poller.remove(&connection.stream);
        for (call, open) in connection.calls {
            self.forget((number, call), open);
        }
        if self.channel == Some(number) {
            self.exit.get_or_insert(ExitReason::Deserted);
        }
        self.inspected();
    }

    /// Writes what waits on a connection, takes the frames that were waiting for that, and goes on
    /// with what was stalled by it.
    fn advance(&mut self, number: u64) {
        let began = Instant::now();
        let mut behind = false;
        loop {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            if connection.flush().is_err() {
                return self.drop_connection(number);
            }
            if !connection.is_full() && std::mem::take(&mut connection.stalled) {
                let calls: Vec<u32> = connection.calls.keys().copied().collect();
                for call in calls {
                    self.resume((number, call));
                }
                continue;
            }
            match connection.next_frame() {
                Ok(Some(frame)) => {
                    self.take_frame(number, frame);
                    if began.elapsed() > TURN {
                        // Its answers are written then, too.
                        behind = true;
                        self.touched.remove(&number);
                        self.backlog.push(number);
                        break;
                    }
                }
                Ok(None) => break,
                Err(_) => return self.drop_connection(number),
            }
        }
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let interest = (!behind && !connection.is_full(), connection.waiting() > 0);
        if interest != connection.interest {
            connection.interest = interest;
            let is_port = self.channel == Some(number);
            let token = if is_port { Token::Port } else { Token::Connection(number) };
            if self.poller.change(&connection.stream, token, interest.0, interest.1).is_err() {
                self.drop_connection(number);
            }
        }
        self.let_go_of_held();
    }

    /// The log's record of the machine's own end.
    pub(super) fn log_stop(&mut self, reason: StopReason) {
        self.note(Record::MachineStopped { at_ms: Timestamp::now().0, reason });
    }
}

/// Numbers 0 to 2 stay taken, so that a command's descriptors can be placed there (`supervisor`).
fn occupy_standard_numbers() -> Result<(), AgentError> {
    loop {
        let fd = open_path("/dev/null", OFlags::RDWR)?;
        if std::os::fd::AsRawFd::as_raw_fd(&fd) > 2 {
            return Ok(());
        }
        // Never closed: the number is meant to stay taken.
        let _ = std::os::fd::IntoRawFd::into_raw_fd(fd);
    }
}

fn open_path(path: &'static str, flags: OFlags) -> Result<OwnedFd, AgentError> {
    openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(AgentError::on("open", path))
}

/// The agent holds a few descriptors per command; commands get the limit as it was.
fn raise_open_files() -> Rlimit {
    let before = getrlimit(Resource::Nofile);
    // As many as it may have are enough or not; it works with what it gets.
    let _ =
        setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    before
}
