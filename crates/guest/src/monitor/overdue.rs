//! What the guest's agent ends by itself (a command whose time is over, a machine that nobody
//! uses), looked after by M for the guest that does not: whoever owns its kernel keeps to nothing.
//!
//! Promises: a well guest is never overtaken, since M waits for its lenience beyond each limit;
//! one timer, which wakes the loop about as seldom as the limits that it guards.

use std::time::{Duration, Instant};

use pyro_protocol::spool::StopReason;

use super::{ending::End, serve::Monitor};

impl Monitor {
    /// A command was started that has this long.
    pub(super) fn expect_end(&mut self, at: Instant) {
        let at = at + self.lenience;
        self.overdue_at = Some(self.overdue_at.map_or(at, |known| known.min(at)));
    }

    /// Something may be over its time by now.
    pub(super) fn look_for_overdue(&mut self) {
        let now = Instant::now();
        let (command, mut next) = (self.commands.first_due(), None);
        if let Some(at) = command.map(|at| at + self.lenience) {
            if at <= now {
                return self.fail("a command went on after its time".to_owned());
            }
            next = Some(at);
        }
        if let Some(limit) = self.idle_limit() {
            let busy = command.is_some() || self.doors.values().any(|door| !door.calls.is_empty());
            let at = if busy { now } else { self.last_use } + limit;
            if at <= now {
                return self.end_for(StopReason::Idle);
            }
            next = Some(next.map_or(at, |known| known.min(at)));
        }
        self.overdue_at = next;
    }

    /// How long the machine may be unused before M ends it.
    pub(super) fn idle_limit(&self) -> Option<Duration> {
        let seconds = self.agent.idle_ttl_s;
        let limited = seconds > 0 && !self.agent.inspect_only;
        // One that is too long for any clock is none.
        limited.then(|| Duration::from_secs(seconds.min(u32::MAX.into())) + self.lenience)
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.overdue_at.is_some_and(|at| at <= Instant::now())
    }

    fn end_for(&mut self, reason: StopReason) {
        self.overdue_at = None;
        self.ends_as(End::Stopped(reason));
        self.sync_and_end();
    }
}
