//! What is due when. One ordered map; the loop waits for its first entry.

use std::{collections::BTreeMap, time::Instant};

/// A timer that can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerKey(Instant, u64);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The command ran out of its time.
    Timeout(u64),
    /// The grace time of a stop is over.
    Grace(u64),
    /// Ending a tree has taken as long as it may.
    Bound(u64),
    /// The machine may have been idle for its limit.
    Idle,
    /// Ending everything: the grace time is over.
    ShutdownGrace,
    /// Ending everything has taken as long as it may.
    ShutdownBound,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    waiting: BTreeMap<TimerKey, Due>,
    next: u64,
}

impl Timers {
    pub(super) fn set(&mut self, at: Instant, due: Due) -> TimerKey {
        let key = TimerKey(at, self.next);
        self.next += 1;
        self.waiting.insert(key, due);
        key
    }

    pub(super) fn cancel(&mut self, key: TimerKey) {
        self.waiting.remove(&key);
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|key| key.0)
    }

    /// The next thing that is due at `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let entry = self.waiting.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn due_in_order_and_cancelled_never() {
        let now = Instant::now();
        let mut timers = Timers::default();
        timers.set(now + Duration::from_secs(2), Due::Idle);
        let gone = timers.set(now + Duration::from_secs(1), Due::Grace(1));
        timers.set(now + Duration::from_secs(1), Due::Timeout(2));
        timers.cancel(gone);
        assert_eq!(timers.take_due(now), None);
        let later = now + Duration::from_secs(3);
        assert_eq!(timers.take_due(later), Some(Due::Timeout(2)));
        assert_eq!(timers.take_due(later), Some(Due::Idle));
        assert_eq!(timers.take_due(later), None);
    }
}
