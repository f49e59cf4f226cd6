//! Rules that the fields of several requests share.

use pyro_model::limits;

use crate::{Code, Failure};

fn refuse(message: String) -> Failure {
    Failure::new(Code::InvalidArgument, message)
}

/// The network policies that exist so far.
pub(crate) fn network(policy: Option<&str>) -> Result<(), Failure> {
    match policy {
        None | Some("off") => Ok(()),
        Some("egress") => Err(Failure::new(
            Code::Unsupported,
            "network policy `egress` is not built yet: workspaces have no network",
        )
        .hint("leave `network` out; bring what is needed in as files of the seed")),
        Some(other) => Err(refuse(format!("network: `{other}` is not a policy; use `off`"))),
    }
}

/// Sizes of a machine.
pub(crate) fn sizes(
    cpus: Option<u32>,
    memory_mib: Option<u64>,
    disk_mib: Option<u64>,
) -> Result<(), Failure> {
    if cpus.is_some_and(|cpus| !(1..=1024).contains(&cpus)) {
        return Err(refuse("cpus: give 1 to 1,024".to_owned()));
    }
    if memory_mib.is_some_and(|mib| !(16..=1 << 24).contains(&mib)) {
        return Err(refuse("memory_mib: give 16 to 16,777,216".to_owned()));
    }
    if disk_mib.is_some_and(|mib| !(16..=1 << 24).contains(&mib)) {
        return Err(refuse("disk_mib: give 16 to 16,777,216".to_owned()));
    }
    Ok(())
}

/// How a command is run.
pub(crate) struct Command<'a> {
    pub(crate) command: &'a str,
    pub(crate) env: &'a std::collections::BTreeMap<String, String>,
    pub(crate) stdin: Option<&'a str>,
    pub(crate) timeout_s: Option<u64>,
    pub(crate) wait_s: Option<u64>,
    pub(crate) max_output_chars: Option<usize>,
}

impl Command<'_> {
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.command.trim().is_empty() {
            return Err(refuse("command: it is empty".to_owned()));
        }
        if self.command.len() > limits::COMMAND_BYTES || self.command.contains('\0') {
            return Err(refuse(format!(
                "command: at most {} bytes, and no NUL",
                limits::COMMAND_BYTES
            ))
            .hint("write long scripts with workspace_file_write and run the file"));
        }
        environment(self.env)?;
        if self.stdin.is_some_and(|text| text.len() > limits::STDIN_BYTES) {
            return Err(Failure::new(
                Code::TooLarge,
                format!("stdin: at most {} bytes", limits::STDIN_BYTES),
            )
            .hint("write it to a file with workspace_file_write and redirect it"));
        }
        if self.timeout_s.is_some_and(|s| s == 0 || s > limits::EXEC_TIMEOUT_MOST_S) {
            return Err(refuse(format!("timeout_s: give 1 to {}", limits::EXEC_TIMEOUT_MOST_S)));
        }
        waiting(self.wait_s, self.max_output_chars)
    }
}

/// Variables for a command.
fn environment(env: &std::collections::BTreeMap<String, String>) -> Result<(), Failure> {
    if env.len() > limits::ENV_ENTRIES {
        return Err(refuse(format!("env: at most {} variables", limits::ENV_ENTRIES)));
    }
    for (name, value) in env {
        let valid = !name.is_empty()
            && name.len() <= 256
            && !name.contains(['=', '\0'])
            && !value.contains('\0')
            && value.len() <= 128 << 10;
        if !valid {
            let shown: String = name.chars().take(80).collect();
            return Err(refuse(format!("env: `{shown}` is not a variable that can be set")));
        }
    }
    Ok(())
}

/// How long to wait, and how much to answer.
pub(crate) fn waiting(wait_s: Option<u64>, max_output_chars: Option<usize>) -> Result<(), Failure> {
    if wait_s.is_some_and(|s| s > limits::WAIT_MOST_S) {
        return Err(refuse(format!("wait_s: at most {}", limits::WAIT_MOST_S))
            .hint("give less, or leave it out; a command that takes longer goes on, and workspace_exec_wait takes it up again"));
    }
    output_characters(max_output_chars)
}

/// How much to answer.
pub(crate) fn output_characters(max_output_chars: Option<usize>) -> Result<(), Failure> {
    if max_output_chars.is_some_and(|n| !(1_000..=limits::OUTPUT_CHARACTERS_MOST).contains(&n)) {
        return Err(refuse(format!(
            "max_output_chars: give 1,000 to {}",
            limits::OUTPUT_CHARACTERS_MOST
        )));
    }
    Ok(())
}

/// A path inside a workspace, by its form alone.
pub(crate) fn path(field: &str, path: &str) -> Result<(), Failure> {
    if path.len() > limits::PATH_BYTES || path.contains('\0') {
        return Err(refuse(format!("{field}: at most {} bytes, and no NUL", limits::PATH_BYTES)));
    }
    Ok(())
}
