//! Places where tests kill the process between two steps. Nothing in a normal build.

/// Dies here, like by `kill -9`, when the test's variable names this place.
#[cfg(test)]
pub(crate) fn point(place: &str) {
    if std::env::var_os("PYRO_TEST_CRASH_AT").is_some_and(|at| at == place) {
        std::process::abort();
    }
}

#[cfg(not(test))]
#[inline]
pub(crate) fn point(_place: &str) {}
