//! How a machine ends: the guest says so, pyro asks, the last look is over, or something broke.
//!
//! An orderly end lets QEMU close its disks and syncs the file; every wait has its deadline, after
//! which Q is killed. The log's last record says which it was.

use std::time::{Duration, Instant};

use pyro_model::time::Timestamp;
use pyro_protocol::{
    spool::{Record, StopReason},
    vm::ToVm,
};
use pyro_sys::{child::take_signal, process};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::fdatasync,
};
use std::os::fd::AsFd as _;

use super::serve::Monitor;

/// How long the guest may take to write everything to its disk.
const SYNC: Duration = Duration::from_secs(2);
/// How long QEMU may take to close its disks.
const QUIT: Duration = Duration::from_secs(2);
/// How long the last answers may take to be taken.
const FAREWELL: Duration = Duration::from_secs(1);

/// The log's last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// In good order.
    Stopped(StopReason),
    /// And why, fit after "the machine ended: ".
    Failed(String),
}

/// What is waited for, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The guest's `Synced`.
    Syncing(Instant),
    /// Q's end.
    Quitting(Instant),
    /// Q's end, which nothing holds up any more.
    Killed,
}

impl Monitor {
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// The first word on how it ends counts.
    pub(super) fn ends_as(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// Pyro ends the machine: what was written stays.
    pub(super) fn asked_to_end(&mut self) {
        // Which signal does not matter: no other comes here.
        let _ = take_signal(self.signals.as_fd());
        if self.ending.is_none() {
            self.ends_as(End::Stopped(StopReason::Asked));
            self.sync_and_end();
        }
    }

    /// Has the guest write everything to its disk, and ends it.
    pub(super) fn sync_and_end(&mut self) {
        self.ending = Some(Ending::Syncing(Instant::now() + SYNC));
        self.port.send(&ToVm::Sync);
    }

    pub(super) fn synced(&mut self) {
        if let Some(Ending::Syncing(_)) = self.ending {
            self.quit();
        }
    }

    /// The last door of a machine that was only looked at is gone; its disk was not changed.
    pub(super) fn inspected(&mut self) {
        if self.ending.is_none() {
            self.ends_as(End::Stopped(StopReason::Asked));
            self.quit();
        }
    }

    /// Lets QEMU close its disks and end.
    pub(super) fn quit(&mut self) {
        if matches!(self.ending, Some(Ending::Quitting(_) | Ending::Killed)) {
            return;
        }
        self.ending = Some(Ending::Quitting(Instant::now() + QUIT));
        if self.qmp.command("quit", &serde_json::Value::Null, None).is_err() {
            self.kill();
        }
    }

    pub(super) fn fail(&mut self, why: String) {
        self.ends_as(End::Failed(why));
        self.kill();
    }

    fn kill(&mut self) {
        self.ending = Some(Ending::Killed);
        // A process that is gone already is what is wanted.
        let _ = process::kill(&self.process);
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        match self.ending {
            Some(Ending::Syncing(until) | Ending::Quitting(until)) => Some(until),
            Some(Ending::Killed) => None,
            None => [self.inspect_until, self.overdue_at].into_iter().flatten().min(),
        }
    }

    pub(super) fn on_due(&mut self) {
        if self.due_at().is_none_or(|until| until > Instant::now()) {
            return;
        }
        match self.ending {
            Some(Ending::Syncing(_)) => self.quit(),
            Some(Ending::Quitting(_)) => self.kill(),
            Some(Ending::Killed) => {}
            None if self.is_overdue() => self.look_for_overdue(),
            None => {
                self.inspect_until = None;
                self.inspected();
            }
        }
    }

    /// Q is gone: what it said last is taken, the end is written down, and the doors are told.
    pub(super) fn qemu_ended(&mut self) {
        let ended = process::reap(&self.process).ok().flatten();
        self.drain_port();
        while self.console.fill() {}
        let at_ms = Timestamp::now().0;
        let end = self.end.take().unwrap_or_else(|| End::Failed(self.console.why(ended)));
        let orderly = matches!(end, End::Stopped(_));
        self.log.append(&match end {
            End::Stopped(reason) => Record::MachineStopped { at_ms, reason },
            End::Failed(why) => Record::MachineFailed { at_ms, why },
        });
        self.farewell();
        if let Some(disk) = self.disk.as_ref().filter(|_| orderly) {
            // One that cannot be synced is found unclean by its next start.
            let _ = fdatasync(disk);
        }
        self.over = true;
    }

    /// Gives the last answers a moment to be taken.
    fn farewell(&mut self) {
        let until = Instant::now() + FAREWELL;
        for door in self.doors.values_mut() {
            while door.flush().is_ok() && door.waiting() > 0 {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
                let mut fds = [PollFd::new(&door.stream, PollFlags::OUT)];
                if !matches!(poll(&mut fds, Some(&timeout)), Ok(1..)) {
                    break;
                }
            }
        }
        self.doors.clear();
    }
}
