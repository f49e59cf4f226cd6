//! Hears when the host's clock jumps: it was set, or the host slept.
//!
//! A timer that never fires but is cancelled by every jump of the clock; it costs nothing else.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{SystemTime, UNIX_EPOCH},
};

use pyro_sys::{Context, Result};
use rustix::{
    io::{Errno, read},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

/// The timer.
pub(super) struct Clock {
    timer: OwnedFd,
}

impl Clock {
    pub(super) fn new() -> Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags).doing("make", "a timer")?;
        let clock = Self { timer };
        clock.arm()?;
        Ok(clock)
    }

    fn arm(&self) -> Result<()> {
        // A hundred years after the present one of any living clock.
        let never = Timespec { tv_sec: 8_000_000_000, tv_nsec: 0 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.timer, flags, &once).doing("set", "a timer")?;
        Ok(())
    }

    /// Readable when the clock has jumped.
    pub(super) fn timer(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    /// Whether it has jumped since the last time.
    pub(super) fn jumped(&self) -> bool {
        let mut count = [0; 8];
        match read(&self.timer, &mut count) {
            Err(Errno::CANCELED) => {
                // The next jump is then simply not heard of.
                let _ = self.arm();
                true
            }
            _ => false,
        }
    }
}

/// The host's wall clock, in microseconds.
pub(super) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
