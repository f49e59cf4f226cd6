//! How fast the processor's time stamp counter runs.

use std::time::{Duration, Instant};

/// Long enough to be right to some parts in ten thousand.
const MEASURED: Duration = Duration::from_millis(10);
/// Readings of both clocks, of which the closest pair counts.
const TRIES: u32 = 32;

/// Ticks of the time stamp counter in a millisecond, measured for 10 ms against the host's
/// monotonic clock; `None` where there is no such counter.
#[must_use]
pub fn counter_khz() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        let (began, first) = moment();
        while began.elapsed() < MEASURED {
            std::hint::spin_loop();
        }
        let (ended, last) = moment();
        let micros = u64::try_from(ended.duration_since(began).as_micros()).ok()?.max(1);
        Some(last.wrapping_sub(first).saturating_mul(1_000) / micros)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Time and counter of one moment: read again when this process was interrupted in between.
#[cfg(target_arch = "x86_64")]
fn moment() -> (Instant, u64) {
    let mut best = (Instant::now(), counter());
    let mut closest = Duration::MAX;
    for _ in 0..TRIES {
        let (before, count) = (Instant::now(), counter());
        let took = before.elapsed();
        if took < closest {
            (best, closest) = ((before, count), took);
        }
    }
    best
}

#[cfg(target_arch = "x86_64")]
fn counter() -> u64 {
    // SAFETY: reads a counter that every processor of this architecture has; Linux lets every
    // process do so unless it asked not to.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    #[test]
    fn two_measurements_agree() {
        let (first, second) = (super::counter_khz().unwrap(), super::counter_khz().unwrap());
        assert!(first > 100_000, "{first} kHz");
        assert!(first.abs_diff(second) < first / 100, "{first} and {second} kHz");
    }
}
