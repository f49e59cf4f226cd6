//! The microVM machine: a workspace behind its own kernel, in QEMU.
//!
//! Promises: the guest meets no kernel of the host's but through QEMU, which is fenced; a VM starts
//! from a template (booted once for each environment, kernel and size) that nobody can write; no
//! daemon, no helper that stays but the monitor, which holds the machine's lock; nothing left when
//! a start fails. What the host lacks is a typed error with the command that mends it.
//!
//! This is the host's side: disks, images, templates, and what the monitor is told. The monitor
//! (which starts and drives QEMU) and process 1 of the guest are modes of the agent's own program
//! (`pyro-guest`, crates/guest/src/monitor and /microvm), which `pyro-launcher` embeds.

mod blank;
mod capabilities;
pub mod checks;
mod cpio;
mod disk;
mod image;
mod initramfs;
mod kvm;
mod machine;
mod once;
mod place;
mod programs;
mod qcow2;
mod qemu;
mod session;
mod start;
mod template;
mod unfit;
mod unpacked;

pub use checks::checks;
pub use kvm::Verdict;
pub use machine::{Kernel, MicrovmHome, MicrovmMachine};
pub use template::{Collected, NewTemplate, Shape, TemplateState};
