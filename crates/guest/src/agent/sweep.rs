//! Ending a tree of processes that may be forking, one short step at a time.
//!
//! First everything found is stopped, and looked for again until a look finds nothing new (a
//! process with a pending signal cannot fork); then everything is killed, and looked for again
//! while that finds new ones. Steps follow each other at once while they find something; else the
//! next is made when a child of the agent ends. The caller bounds the whole by a timer.
//!
//! A look at `/proc` is not one moment: a process that changes parents or forks meanwhile can be
//! missed. So nothing being found is no proof that nothing is there: the end of a supervisor is
//! (it waits for its last child), and where there is none, a second look must agree.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use pyro_sys::child::send_signal;

use super::tree::Process;

/// The longest that ending a tree may take, from the first SIGSTOP on.
pub(super) const BOUND: Duration = Duration::from_secs(1);
/// The same in a VM, whose processors may be emulated by a busy host.
pub(super) const BOUND_IN_VM: Duration = Duration::from_secs(10);

const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;

#[derive(Debug)]
pub(super) struct Sweep {
    /// Until when what does not hold still is stopped again.
    freeze_until: Instant,
    killing: bool,
    seen: BTreeSet<i32>,
    /// The last look found nothing.
    empty: bool,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swept {
    /// Make the next step at once.
    More,
    /// All have been killed; the next step is due when one of them has ended.
    Dying,
    /// Nothing is left alive.
    Gone,
}

impl Sweep {
    /// One that may take `bound`: the larger part of it for stopping a tree that does not hold still.
    pub(super) fn new(now: Instant, bound: Duration) -> Self {
        Self {
            freeze_until: now + bound * 3 / 5,
            killing: false,
            seen: BTreeSet::new(),
            empty: false,
        }
    }

    /// Acts on the tree as it is now.
    pub(super) fn step(&mut self, tree: &[Process], now: Instant) -> Swept {
        let mut alive = tree.iter().filter(|process| !process.ended).peekable();
        if alive.peek().is_none() {
            let twice = std::mem::replace(&mut self.empty, true);
            return if twice { Swept::Gone } else { Swept::More };
        }
        self.empty = false;
        let mut fresh = false;
        let signal = if self.killing { SIGKILL } else { SIGSTOP };
        for process in alive {
            if self.seen.insert(process.pid) {
                fresh = true;
                // One that ended meanwhile is as good as signalled.
                let _ = send_signal(process.pid, false, signal);
            }
        }
        if self.killing {
            return if fresh { Swept::More } else { Swept::Dying };
        }
        if !fresh || now > self.freeze_until {
            self.killing = true;
            self.seen.clear();
        }
        Swept::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_empty_look_is_no_proof() {
        let now = Instant::now();
        let mut sweep = Sweep::new(now, BOUND);
        assert_eq!(sweep.step(&[], now), Swept::More);
        assert_eq!(sweep.step(&[], now), Swept::Gone);
    }
}
