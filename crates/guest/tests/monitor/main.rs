//! The monitor of VMs: its service over sockets that a test plays QEMU and the guest on, and (where
//! a kernel is given) real VMs.
//!
//! Real ones need `PYRO_TEST_KERNEL` (a bzImage), `PYRO_TEST_MODULES` (a folder of its modules),
//! `PYRO_TEST_ROOT` (an erofs image of a root) and QEMU; without them they are skipped and counted.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail and say why")]
#![expect(clippy::print_stdout, reason = "a skipped test says why, a measured one how long")]

mod doors;
mod fake;
mod fence;
mod overdue;
mod real;
mod vms;
