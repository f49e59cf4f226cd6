//! Ending one command's whole tree: a signal, a grace time, then a sweep of at most a second (in a VM ten).
//!
//! When the sweep does not come to an end, the machine is ended instead, since the end of process
//! 1 ends everything; the callers are told how many processes were left.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use pyro_model::ExecState;
use pyro_protocol::{GuestMessage, message::RefusalKind, spool::StopReason};
use pyro_sys::child::send_signal;
use rustix::{io::Errno, process::getpid};

use super::{
    ExitReason,
    connection::Call,
    exec::{Caller, Stop},
    refusal::{Answer, from_errno, refuse},
    serve::Agent,
    sweep::{BOUND, BOUND_IN_VM, Sweep, Swept},
    timers::Due,
    tree::{self, Process},
};

/// The longest grace time that can be asked for.
const GRACE_MOST: Duration = Duration::from_secs(600);

impl Agent {
    /// Sends a signal to the command's own process group.
    pub(super) fn signal(&mut self, number: u64, signal: i32) -> Answer<()> {
        check_signal(signal)?;
        self.read_report(number);
        let Some(active) = self.active(number).filter(|active| active.ended.is_none()) else {
            return Err(refuse(RefusalKind::NotFound, "the command", "signal it: it has ended"));
        };
        let Some(main) = active.main else {
            active.early_signal = Some(signal);
            return Ok(());
        };
        match send_signal(main, true, signal) {
            Ok(()) => Ok(()),
            Err(error) => {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                Err(from_errno("signal", "the command", errno))
            }
        }
    }

    pub(super) fn ask_stop(
        &mut self,
        caller: Caller,
        number: u64,
        signal: i32,
        grace_ms: u32,
    ) -> Answer<()> {
        check_signal(signal)?;
        if self.active(number).is_none() {
            self.answer(caller, GuestMessage::Stopped { survivors: 0 });
            return Ok(());
        }
        self.open_call(caller, Call::Stop);
        let grace = Duration::from_millis(grace_ms.into()).min(GRACE_MOST);
        self.begin_stop(number, ExecState::Cancelled, Some(signal), grace, Some(caller));
        Ok(())
    }

    pub(super) fn time_out(&mut self, number: u64) {
        if let Some(active) = self.active(number) {
            active.timeout = None;
        }
        self.begin_stop(number, ExecState::TimedOut, None, Duration::ZERO, None);
    }

    fn begin_stop(
        &mut self,
        number: u64,
        verdict: ExecState,
        signal: Option<i32>,
        grace: Duration,
        caller: Option<Caller>,
    ) {
        // An end that has been reported already is not overruled.
        self.read_report(number);
        let Some(active) = self.active(number) else {
            if let Some(caller) = caller {
                self.answer_stopped(caller, 0);
            }
            return;
        };
        if active.ended.is_none() {
            active.verdict.get_or_insert(verdict);
        }
        let old = active.timeout.take();
        let stop = active.stop.get_or_insert_with(|| Stop {
            callers: Vec::new(),
            timer: None,
            sweep: None,
        });
        stop.callers.extend(caller);
        let sweeping = stop.sweep.is_some();
        let timer = if sweeping { None } else { stop.timer.take() };
        for key in old.into_iter().chain(timer) {
            self.timers.cancel(key);
        }
        if sweeping {
            return;
        }
        if let Some(signal) = signal {
            // It fails when the command's own process is gone; its tree may not be.
            let _ = self.signal(number, signal);
        }
        if grace.is_zero() {
            return self.begin_sweep(number);
        }
        let timer = self.timers.set(Instant::now() + grace, Due::Grace(number));
        if let Some(stop) = self.active(number).and_then(|active| active.stop.as_mut()) {
            stop.timer = Some(timer);
        }
        self.tree_changed(number);
    }

    /// The longest that ending a tree may take here.
    pub(super) fn sweep_bound(&self) -> Duration {
        // Only a VM has a cgroup of its own for commands.
        if self.config.cgroup.is_some() { BOUND_IN_VM } else { BOUND }
    }

    pub(super) fn begin_sweep(&mut self, number: u64) {
        let now = Instant::now();
        let bound = self.sweep_bound();
        let timer = self.timers.set(now + bound, Due::Bound(number));
        let Some(stop) = self.active(number).and_then(|active| active.stop.as_mut()) else {
            return self.timers.cancel(timer);
        };
        stop.timer = Some(timer);
        stop.sweep = Some(Sweep::new(now, bound));
        self.sweeping.insert(number);
    }

    /// Something of the tree has ended: the next step of its end may be due.
    pub(super) fn tree_changed(&mut self, number: u64) {
        let Some(active) = self.active(number) else { return };
        let Some(stop) = &active.stop else { return };
        let over = active.supervisor.is_none() && !active.orphaned;
        if stop.sweep.is_some() {
            self.sweeping.insert(number);
        } else if over {
            self.complete_stop(number, 0);
        }
    }

    pub(super) fn sweep_step(&mut self, number: u64) {
        if number == super::ending::ALL {
            return self.sweep_all_step();
        }
        let tree = self.tree_of(number);
        let Some(active) = self.active(number) else { return };
        let Some(sweep) = active.stop.as_mut().and_then(|stop| stop.sweep.as_mut()) else {
            return;
        };
        let swept = sweep.step(&tree, Instant::now());
        match swept {
            // Its supervisor is about to end, which is the proof (or was killed just now).
            Swept::Gone if active.supervisor.is_some() => {}
            Swept::Gone => self.complete_stop(number, 0),
            Swept::Dying => {}
            Swept::More => {
                self.sweeping.insert(number);
            }
        }
    }

    /// The bound is over: what is left is counted.
    pub(super) fn give_up_on(&mut self, number: u64) {
        let left = self.tree_of(number).iter().filter(|process| !process.ended).count();
        self.complete_stop(number, u32::try_from(left).unwrap_or(u32::MAX));
    }

    /// The processes of a command: what is below its supervisor, or, when that was killed, below
    /// the strays that the agent got instead.
    fn tree_of(&mut self, number: u64) -> Vec<Process> {
        let Some(active) = self.active(number) else { return Vec::new() };
        let (supervisor, orphaned) = (active.supervisor, active.orphaned);
        // Without `/proc` nothing can be found: the bound decides, and says zero survivors only
        // when the supervisor has seen its last child end.
        let all = tree::processes(self.proc.as_fd()).unwrap_or_default();
        match supervisor {
            Some(supervisor) => tree::below(&[supervisor], &all),
            None if orphaned => {
                let strays = self.strays(number, &all);
                let mut tree = tree::below(&strays, &all);
                tree.extend(all.iter().filter(|process| strays.contains(&process.pid)));
                tree
            }
            None => Vec::new(),
        }
    }

    /// Children of the agent that nobody accounts for: no supervisors, and not the own processes
    /// of other commands that go on without one.
    fn strays(&self, number: u64, all: &[Process]) -> Vec<i32> {
        let agent = getpid().as_raw_nonzero().get();
        let others: Vec<i32> = self
            .execs
            .iter()
            .filter(|(other, exec)| **other != number && exec.is_running())
            .filter_map(|(_, exec)| exec.active.as_ref()?.main)
            .collect();
        tree::children_of(agent, all)
            .filter(|pid| !self.by_supervisor.contains_key(pid) && !others.contains(pid))
            .collect()
    }

    fn complete_stop(&mut self, number: u64, survivors: u32) {
        self.read_report(number);
        let Some(active) = self.active(number) else { return };
        let Some(stop) = active.stop.take() else { return };
        self.sweeping.remove(&number);
        if let Some(timer) = stop.timer {
            self.timers.cancel(timer);
        }
        self.end_command(number, survivors, false);
        for caller in stop.callers {
            self.answer_stopped(caller, survivors);
        }
        self.rest(number);
        if survivors > 0 {
            self.log_stop(StopReason::Runaway);
            if self.channel.is_some() {
                // What a container wrote outlives it in the host's memory.
                self.sync();
            }
            self.leave(ExitReason::Runaway);
        }
    }

    fn answer_stopped(&mut self, caller: Caller, survivors: u32) {
        let Some(connection) = self.connections.get_mut(&caller.0) else { return };
        // A caller that gave the call up is not answered.
        if matches!(connection.calls.get(&caller.1), Some(Call::Stop)) {
            connection.calls.remove(&caller.1);
            self.answer(caller, GuestMessage::Stopped { survivors });
        }
    }
}

fn check_signal(signal: i32) -> Answer<()> {
    if (1..=64).contains(&signal) {
        return Ok(());
    }
    let why = format!("send signal {signal}: there is no such signal");
    Err(refuse(RefusalKind::Invalid, "the signal", why))
}
