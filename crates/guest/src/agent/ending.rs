//! The end of the machine: asked for, idle for its limit, or inspected to the end.
//!
//! Every command is asked to end, then killed; the log gets an end for each and for the machine;
//! what was written is synced (the overlay is volatile: nothing else does it).

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use pyro_model::ExecState;
use pyro_protocol::{GuestMessage, spool::StopReason, vm::FromVm};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, openat, syncfs},
    process::getpid,
};

use super::{
    ExitReason,
    connection::Call,
    exec::Caller,
    serve::Agent,
    sweep::{Sweep, Swept},
    timers::Due,
    tree::{self, Process},
};

/// Stands for every command among the trees that are being ended.
pub(super) const ALL: u64 = 0;

const GRACE: Duration = Duration::from_millis(500);
const SIGTERM: i32 = 15;

/// How long the last answers may take to be taken: by a door, and by the monitor of a VM, which has
/// every command's last output before them.
const FAREWELL: Duration = Duration::from_secs(1);
const PORT_FAREWELL: Duration = Duration::from_secs(10);

pub(super) struct Ending {
    reason: StopReason,
    callers: Vec<Caller>,
    sweep: Option<Sweep>,
}

impl Agent {
    pub(super) fn ask_shutdown(&mut self, caller: Caller) {
        self.open_call(caller, Call::Shutdown);
        self.begin_ending(StopReason::Asked, Some(caller));
    }

    pub(super) fn begin_ending(&mut self, reason: StopReason, caller: Option<Caller>) {
        if let Some(ending) = &mut self.ending {
            return ending.callers.extend(caller);
        }
        let callers = caller.into_iter().collect();
        self.ending = Some(Ending { reason, callers, sweep: None });
        let running: Vec<u64> =
            self.execs.iter().filter(|(_, exec)| exec.is_running()).map(|(n, _)| *n).collect();
        for number in running {
            if let Some(active) = self.active(number).filter(|active| active.ended.is_none()) {
                active.verdict.get_or_insert(ExecState::Cancelled);
            }
            // One that is just ending is as good as signalled.
            let _ = self.signal(number, SIGTERM);
        }
        self.timers.set(Instant::now() + GRACE, Due::ShutdownGrace);
        self.ending_changed();
    }

    /// A tree is gone: when it was the last, the machine can end.
    pub(super) fn ending_changed(&mut self) {
        let Some(ending) = &self.ending else { return };
        if ending.sweep.is_some() {
            self.sweeping.insert(ALL);
        } else if self.by_supervisor.is_empty() && self.all_inside().is_empty() {
            self.finish_ending();
        }
    }

    pub(super) fn sweep_all(&mut self) {
        let (now, bound) = (Instant::now(), self.sweep_bound());
        if let Some(ending) = &mut self.ending {
            ending.sweep = Some(Sweep::new(now, bound));
            self.timers.set(now + bound, Due::ShutdownBound);
            self.sweeping.insert(ALL);
        }
    }

    pub(super) fn sweep_all_step(&mut self) {
        let tree = self.all_inside();
        let Some(sweep) = self.ending.as_mut().and_then(|ending| ending.sweep.as_mut()) else {
            return;
        };
        match sweep.step(&tree, Instant::now()) {
            Swept::More => {
                self.sweeping.insert(ALL);
            }
            Swept::Dying => {}
            Swept::Gone => self.finish_ending(),
        }
    }

    /// Every process below the agent but supervisors, which end by themselves.
    fn all_inside(&self) -> Vec<Process> {
        let all = tree::processes(self.proc.as_fd()).unwrap_or_default();
        let mut inside = tree::below(&[getpid().as_raw_nonzero().get()], &all);
        inside.retain(|process| !self.by_supervisor.contains_key(&process.pid));
        inside
    }

    pub(super) fn finish_ending(&mut self) {
        let Some(ending) = self.ending.take() else { return };
        let numbers: Vec<u64> = self.execs.keys().copied().collect();
        for number in numbers {
            self.read_report(number);
            self.end_command(number, 0, false);
        }
        self.log_stop(ending.reason);
        self.sync();
        for caller in &ending.callers {
            self.answer(*caller, GuestMessage::Done);
        }
        self.leave(match ending.reason {
            StopReason::Idle => ExitReason::Idle,
            StopReason::Asked => ExitReason::Asked,
            StopReason::Runaway => ExitReason::Runaway,
        });
    }

    pub(super) fn sync(&self) {
        let uppers = [&self.config.tree_upper, &self.config.root_upper];
        let spool = self.spool.as_ref().map(|spool| &spool.directory);
        for handle in uppers.into_iter().flatten().chain(spool) {
            // The handle may be one that cannot be synced itself (`O_PATH`). A disk that cannot
            // be synced is found unclean by the next start; there is nobody to tell here.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let _ = openat(handle, ".", flags, Mode::empty()).and_then(syncfs);
        }
    }

    /// Gives the last answers a moment to be taken, and ends the loop.
    pub(super) fn leave(&mut self, reason: ExitReason) {
        self.tell(&FromVm::Ended);
        let time = if self.channel.is_some() { PORT_FAREWELL } else { FAREWELL };
        let until = Instant::now() + time;
        for connection in self.connections.values_mut() {
            while connection.flush().is_ok() && connection.waiting() > 0 {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let timeout = Timespec {
                    tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
                    tv_nsec: left.subsec_nanos().into(),
                };
                let mut fds = [PollFd::new(&connection.stream, PollFlags::OUT)];
                if !matches!(poll(&mut fds, Some(&timeout)), Ok(1..)) {
                    break;
                }
            }
        }
        self.exit = Some(reason);
    }

    /// A command runs, or a call is open.
    pub(super) fn is_busy(&self) -> bool {
        self.execs.values().any(super::exec::Exec::is_running)
            || self.connections.values().any(|connection| !connection.calls.is_empty())
    }

    pub(super) fn check_idle(&mut self) {
        if self.config.spec.inspect_only {
            return self.inspected();
        }
        let limit = Duration::from_secs(self.config.spec.idle_ttl_s);
        let now = Instant::now();
        let at = if self.is_busy() { now + limit } else { self.last_use + limit };
        if at > now {
            self.timers.set(at, Due::Idle);
        } else {
            self.begin_ending(StopReason::Idle, None);
        }
    }

    /// A machine that was started only to be looked at ends with its last connection. A VM's agent
    /// does not know which doors there are: its monitor ends it.
    pub(super) fn inspected(&mut self) {
        let looked_at = self.config.spec.inspect_only && self.channel.is_none();
        if looked_at && self.connections.is_empty() && self.exit.is_none() {
            self.log_stop(StopReason::Asked);
            self.exit = Some(ExitReason::Inspected);
        }
    }
}
