//! The engine over real container machines: each test in a home of its own, with whoever runs the
//! tests as the caller (as root: machines of root).

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::needless_pass_by_value, reason = "`json!` where it is used")]
#![expect(unreachable_pub, reason = "modules of one program of tests")]
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

mod diff_model;
mod files;
mod full_disks;
mod microvms;
mod patience;
mod refusals;
mod support;
