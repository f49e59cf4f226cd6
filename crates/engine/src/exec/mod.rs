//! Commands: how a line becomes a program, how it is waited for, and what a reply shows of it.

mod attend;
mod clip;
mod line;
mod logs;
mod reply;
mod start;
mod stop;
mod variables;
mod vm_run;
mod wait;

pub(crate) use reply::escaped_length;
