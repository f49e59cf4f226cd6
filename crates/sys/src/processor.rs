//! What the processor counts by itself.

use std::time::{Duration, Instant};

/// How long it is watched: the error is then far below what a clock drifts.
const WATCHED: Duration = Duration::from_millis(10);

/// How fast the processor's time stamp counter runs, in thousands a second. An emulated machine has
/// the same one, and a kernel in it cannot find its speed out on a busy host: it is told. `None`
/// where there is no such counter.
#[must_use]
pub fn counter_khz() -> Option<u64> {
    let began = Instant::now();
    let from = counter()?;
    let mut passed = Duration::ZERO;
    while passed < WATCHED {
        std::thread::sleep(WATCHED - passed);
        passed = began.elapsed();
    }
    let counted = u128::from(counter()?.checked_sub(from)?);
    let khz = counted * 1_000_000 / passed.as_nanos().max(1);
    u64::try_from(khz).ok().filter(|khz| *khz > 0)
}

#[cfg(target_arch = "x86_64")]
fn counter() -> Option<u64> {
    // SAFETY: reads a register that every processor of this kind has and no kernel hides.
    Some(unsafe { core::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> Option<u64> {
    None
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn two_looks_agree() {
        let (one, other) = (counter_khz().unwrap(), counter_khz().unwrap());
        assert!(one.abs_diff(other) * 200 < one, "{one} and {other}");
    }
}
