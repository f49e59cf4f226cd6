//! A command's output and how it ended. A command that exited says so by its exit code alone;
//! pyro speaks only where that is not the whole story.

use serde_json::Value;

use super::verdict;
use crate::{follow::Followed, perform::Asked, terminal::remark};

/// What the command wrote and was not passed on while it ran.
pub(crate) fn output(reply: &Value, followed: Option<&Followed>) {
    if let Some(followed) = followed {
        let text = |key: &str| reply[key].as_str().unwrap_or_default();
        followed.finish([text("stdout"), text("stderr")]);
    }
}

/// The end of `run` and `workspace exec`.
pub(crate) fn ended(
    asked: &Asked<'_>,
    request: &Value,
    reply: &Value,
    followed: Option<&Followed>,
) {
    output(reply, followed);
    let exited = reply["state"] == "exited";
    let has_notices = reply["notices"].as_array().is_some_and(|notices| !notices.is_empty());
    if !exited || has_notices || asked.globals.verbose {
        verdict(asked, reply);
    }
    if exited && reply["exit_code"] == 127 && is_a_quoted_line(request) {
        remark(" hint: for a shell line, put `sh -c` before it: pyro takes words, not a line");
    }
}

/// One argument with blanks in it: most likely a line that was meant for a shell.
fn is_a_quoted_line(request: &Value) -> bool {
    let command = request["command"].as_str().unwrap_or_default();
    command.starts_with('\'')
        && command.ends_with('\'')
        && command.contains(' ')
        && !command[1..command.len() - 1].contains('\'')
}
