//! Places where a test kills pyro, between two steps of a change.
//!
//! Only in builds with debug assertions: `PYRO_CRASH_AT=create.recorded pyro …` ends the process
//! there as kill -9 would. A release build has no such variable.

/// The place between two steps with this name.
#[inline]
pub(crate) fn point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var_os("PYRO_CRASH_AT").is_some_and(|at| at == name) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
