//! Ending a tree of processes that may be forking, one short step at a time.
//!
//! First everything found is stopped, and looked for again until a look finds nothing new (a
//! process with a pending signal cannot fork); then everything is killed, and looked for again
//! while that finds new ones. Steps follow each other at once while they find something; else the
//! next is made when a child of the agent ends. The caller bounds the whole by a timer.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use pyro_sys::child::send_signal;

use super::tree::Process;

/// The longest that ending a tree may take, from the first SIGSTOP on.
pub(super) const BOUND: Duration = Duration::from_secs(1);
/// How much of it is spent on stopping a tree that does not hold still.
const FREEZE: Duration = Duration::from_millis(600);

const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;

#[derive(Debug)]
pub(super) struct Sweep {
    began: Instant,
    killing: bool,
    seen: BTreeSet<i32>,
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
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, killing: false, seen: BTreeSet::new() }
    }

    /// Acts on the tree as it is now.
    pub(super) fn step(&mut self, tree: &[Process], now: Instant) -> Swept {
        let mut alive = tree.iter().filter(|process| !process.ended).peekable();
        if alive.peek().is_none() {
            return Swept::Gone;
        }
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
        if !fresh || now.duration_since(self.began) > FREEZE {
            self.killing = true;
            self.seen.clear();
        }
        Swept::More
    }
}
