//! The environment of every command: what pyro sets, what the environment brings, what was asked.

use std::collections::BTreeMap;

use pyro_store::Record;

/// Set for every command unless it is set otherwise: programs behave as in a script.
const ALWAYS: &[(&str, &str)] = &[
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "root"),
    ("NO_COLOR", "1"),
    ("PAGER", "cat"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("TERM", "dumb"),
    ("USER", "root"),
];

/// The whole environment of one command, by name.
pub(crate) fn of(record: &Record, asked: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut all: BTreeMap<&str, &str> = ALWAYS.iter().copied().collect();
    all.extend(record.run.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    all.extend(asked.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
