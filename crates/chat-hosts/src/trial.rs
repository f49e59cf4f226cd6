//! A chat host's own `mcp add`, run where it can change nothing: in an empty folder that stands for
//! its configuration. What it writes there says how this version wants an entry to look; pyro puts
//! that entry into the real file (docs/adr/0007).

use std::{ffi::OsString, path::Path, time::Duration};

use serde_json::Value;

use crate::{
    Surroundings,
    document::{self, Format},
    hosts::Host,
    program,
    server::CommandLine,
};

/// Adding a server to a file takes far less.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a version is said in.
const VERSION_PATIENCE: Duration = Duration::from_secs(10);
/// Variables that programs need to start, wherever their files are.
const NEEDED: &[&str] = &["PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "USER"];

/// The entry that the chat host itself writes for this server; None when it did not, or wrote
/// another.
pub(crate) fn entry(
    here: &Surroundings,
    host: &dyn Host,
    program: &Path,
    name: &str,
    line: &CommandLine,
) -> Option<Value> {
    let add = host.own_add(name, line)?;
    let folder = tempfile::Builder::new().prefix("pyro-trial-").tempdir().ok()?;
    let mut variables = needed(here);
    for name in ["HOME", add.variable] {
        variables.push((name.into(), folder.path().into()));
    }
    let said = program::run(program, &add.arguments, variables, folder.path(), PATIENCE)?;
    if !said.success {
        return None;
    }
    let text = std::fs::read_to_string(folder.path().join(add.file)).ok()?;
    let format = if add.file.ends_with(".toml") { Format::Toml } else { Format::Json };
    let written = format.read(&text).ok()?;
    let mut key = host.servers(&written, None);
    key.push(name.to_owned());
    let entry = document::at(&written, &key)?;
    (host.line(entry).as_ref() == Some(line)).then(|| entry.clone())
}

/// What a chat host's program says of its version: the first line.
pub(crate) fn version(here: &Surroundings, program: &Path) -> Option<String> {
    let arguments = ["--version".to_owned()];
    let said =
        program::run(program, &arguments, &here.variables, &here.user_home, VERSION_PATIENCE)?;
    let line: String = said.text.lines().next()?.trim().chars().take(80).collect();
    (said.success && !line.is_empty()).then_some(line)
}

fn needed(here: &Surroundings) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    for name in NEEDED {
        if let Some(value) = here.variables.get(&OsString::from(name)) {
            variables.push((name.into(), value.clone()));
        }
    }
    variables.push(("TERM".into(), "dumb".into()));
    variables
}
