//! Children of the agent: supervisors, and strays that a killed supervisor left to it.
//!
//! A workload of the same user can kill its supervisor. The kernel then gives the agent what was
//! below it. A command whose own process was among them goes on: the agent reaps that process
//! itself and so still learns how it ended. Only a command that was never heard of is lost. Ending
//! the tree of such a command ends every stray.

use std::os::fd::AsFd;

use pyro_sys::child::{send_signal, take_signal};
use rustix::{
    io::Errno,
    process::{WaitOptions, WaitStatus, wait},
};

use super::serve::Agent;

/// Children reaped in one turn of the loop.
const BATCH: usize = 1_024;

const SIGTERM: i32 = 15;
const SIGCONT: i32 = 18;

impl Agent {
    pub(super) fn on_signals(&mut self) {
        while let Ok(Some(signal)) = take_signal(self.signals.as_fd()) {
            if signal == SIGTERM {
                self.begin_ending(pyro_protocol::spool::StopReason::Asked, None);
            }
        }
        self.reap();
    }

    pub(super) fn reap(&mut self) {
        for _ in 0..BATCH {
            match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
                Ok(Some((pid, status))) => self.on_child(pid.as_raw_nonzero().get(), status),
                Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
        self.reap_again = true;
    }

    fn on_child(&mut self, pid: i32, status: WaitStatus) {
        let supervised = self.by_supervisor.get(&pid).copied();
        if status.stopped() {
            if supervised.is_some() {
                // Somebody inside stopped it; it has work to do.
                let _ = send_signal(pid, false, SIGCONT);
            }
            return;
        }
        match supervised {
            Some(number) => {
                self.by_supervisor.remove(&pid);
                self.supervisor_ended(number, status);
            }
            None => self.stray_ended(pid, status),
        }
    }

    fn supervisor_ended(&mut self, number: u64, status: WaitStatus) {
        self.read_report(number);
        if let Some(active) = self.active(number) {
            active.supervisor = None;
            active.orphaned = !status.exited();
        }
        self.check_lost(number);
        self.tree_changed(number);
        self.rest(number);
        self.ending_changed();
    }

    fn stray_ended(&mut self, pid: i32, status: WaitStatus) {
        // Its supervisor may have been killed an instant ago, or before its report was read.
        let numbers: Vec<u64> = self
            .execs
            .iter()
            .filter(|(_, exec)| {
                exec.active
                    .as_ref()
                    .is_some_and(|active| active.main.is_none_or(|main| main == pid))
            })
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            self.read_report(number);
            if self.active(number).is_some_and(|active| active.main == Some(pid)) {
                self.main_ended(number, status.as_raw());
            }
        }
        let orphaned: Vec<u64> = self
            .execs
            .iter()
            .filter(|(_, exec)| exec.active.as_ref().is_some_and(|active| active.orphaned))
            .map(|(number, _)| *number)
            .collect();
        for number in orphaned {
            self.tree_changed(number);
        }
        self.ending_changed();
    }

    /// A command without supervisor whose own process is not there is lost.
    pub(super) fn check_lost(&mut self, number: u64) {
        let Some(active) = self.active(number) else { return };
        if active.supervisor.is_some() || active.report.is_some() || active.ended.is_some() {
            return;
        }
        let alive = active.main.is_some_and(|main| send_signal(main, false, 0).is_ok());
        if !alive && active.stop.is_none() {
            self.end_command(number, 0, true);
        }
    }
}
