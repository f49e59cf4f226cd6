//! The reply of every operation on one command, made from its record and its kept output.

use pyro_model::{ExecId, ExecState, OutputStream, Timestamp, limits};
use pyro_operations::{
    Code, Failure,
    exec::{ExecNetwork, ExecReply, Omitted},
    reply::Next,
};
use pyro_store::{ExecRecord, Phase, Record};

use super::{
    attend::{self, Attended},
    clip::clip,
};
use crate::{
    Engine,
    failure::OrFail,
    lookup::{deleted_meanwhile, exec_not_found},
    spool::failure_of,
};

/// Characters of a reply that its other fields take.
const OTHER_FIELDS: usize = 1_600;

/// How much of a reply a text takes: characters as JSON writes them, and all bytes of wide ones,
/// since one chat host counts those.
pub(crate) fn escaped_length(text: &str) -> usize {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' | '\r' | '"' | '\\' | '\u{8}' | '\u{c}' => 2,
            c if (c as u32) < 0x20 => 6,
            c => c.len_utf8(),
        })
        .sum()
}

/// What a reply is to show of a command.
pub(super) struct Shown<'a> {
    pub(super) record: &'a Record,
    pub(super) exec: ExecRecord,
    pub(super) started: bool,
    pub(super) max_output_chars: Option<usize>,
    pub(super) notices: Vec<String>,
}

impl Engine {
    pub(super) fn exec_reply(&self, shown: Shown<'_>) -> Result<ExecReply, Failure> {
        let Shown { record, mut exec, started, max_output_chars, mut notices } = shown;
        if exec.state == ExecState::Running {
            let so_far = |stream| self.output_so_far(&record.id, &exec.id, stream);
            (exec.stdout_bytes, exec.stderr_bytes) =
                (so_far(OutputStream::Stdout), so_far(OutputStream::Stderr));
        }
        let budget =
            max_output_chars.unwrap_or(limits::OUTPUT_CHARACTERS).saturating_sub(OTHER_FIELDS);
        let mut omitted = Vec::new();
        let mut show = |stream, total, budget, lines| -> Result<String, Failure> {
            let how = format!("workspace_logs exec_id={} stream={stream} has it", exec.id);
            let clipped = clip(total, budget, lines, &how, |offset, limit| {
                self.output(&record.id, &exec.id, stream, total, offset, limit)
            })?;
            if let Some((offset, bytes)) = clipped.omitted {
                omitted.push(Omitted { stream, offset, bytes });
            }
            Ok(clipped.text)
        };
        // Errors are short and matter most: they may take half, and leave the rest to the output.
        let lines = limits::OUTPUT_LINES_MOST;
        let stderr = show(OutputStream::Stderr, exec.stderr_bytes, budget / 2, lines / 2)?;
        let left = budget.saturating_sub(escaped_length(&stderr));
        let lines = lines.saturating_sub(stderr.lines().count());
        let stdout = show(OutputStream::Stdout, exec.stdout_bytes, left, lines)?;
        omitted.reverse();
        notices.extend(hints(&exec, &stderr));
        let duration_ms = exec
            .duration_ms
            .unwrap_or_else(|| Timestamp::now().0.saturating_sub(exec.started_at.0));
        Ok(ExecReply {
            verdict: verdict(&exec, duration_ms),
            exec_id: exec.id.to_string(),
            state: exec.state,
            exit_code: exec.exit_code,
            signal: exec.signal,
            duration_ms,
            stdout,
            stderr,
            stdout_bytes: exec.stdout_bytes,
            stderr_bytes: exec.stderr_bytes,
            omitted,
            cwd: relative(&exec.cwd),
            workspace: record.id.to_string(),
            started,
            machine: record.machine,
            isolation: record.isolation,
            network: ExecNetwork { policy: record.network.clone(), refused: Vec::new() },
            next: next(&exec),
            notices,
        })
    }

    /// The record of a command after it was attended to.
    pub(super) fn settled_after(
        &self,
        attended: Attended,
        record: &Record,
        id: &ExecId,
    ) -> Result<ExecRecord, Failure> {
        let exec = self.settled(record, id)?;
        if attended != Attended::Gone || exec.state != ExecState::Running {
            return Ok(exec);
        }
        // Its agent went away, but a machine is there: not down to its last process yet, or a fresh
        // one of a reset. An agent that does not know the command is not the one that ran it.
        if let Some(mut guest) = self.reach(record)?
            && attend::knows(&mut guest, id)?
        {
            return self.settled(record, id);
        }
        let now = self.store().get(&record.id).or_fail()?;
        if let Some(now) = &now {
            self.import(now)?;
        }
        let state = match now.map(|now| now.phase) {
            Some(Phase::Live) => ExecState::Lost,
            _ => ExecState::Cancelled,
        };
        self.store().end_one(&record.id, id, state).or_fail()?;
        self.settled(record, id)
    }

    /// A caller that waited for a command hears why its machine ended, if nobody ended it.
    pub(super) fn check_machine(&self, record: &Record, exec: &ExecRecord) -> Result<(), Failure> {
        if exec.state != ExecState::Lost {
            return Ok(());
        }
        let Some(now) = self.store().get(&record.id).or_fail()? else { return Ok(()) };
        let Some(why) = failure_of(&now) else { return Ok(()) };
        let after = if record.ephemeral {
            "workspace_create makes one whose files outlive its machine"
        } else {
            "the files are kept as they were: workspace_exec starts the machine again, \
             workspace_reset gives a fresh one"
        };
        Err(Failure::new(
            Code::MachineFailed,
            format!("the machine ended while the command ran: {why}"),
        )
        .hint(after)
        .detail("exec_id", exec.id.as_str())
        .detail("workspace", record.id.as_str()))
    }

    /// The record of a command as it stands now: one that still runs in the records but whose
    /// machine is gone is lost.
    pub(super) fn settled(&self, record: &Record, id: &ExecId) -> Result<ExecRecord, Failure> {
        self.import(record)?;
        let find = || -> Result<ExecRecord, Failure> {
            if let Some(exec) = self.store().exec(&record.id, id).or_fail()? {
                return Ok(exec);
            }
            let workspace = self.store().get(&record.id).or_fail()?;
            Err(match workspace {
                Some(_) => exec_not_found(id.as_str()),
                None => deleted_meanwhile(record),
            })
        };
        let exec = find()?;
        if exec.state != ExecState::Running {
            return Ok(exec);
        }
        if self
            .machine(record.machine)?
            .is_running(&self.layout().workspace(&record.id))
            .or_fail()?
        {
            return Ok(exec);
        }
        // It may have written its end between the first reading and its machine's.
        if let Some(now) = self.store().get(&record.id).or_fail()? {
            self.import(&now)?;
        }
        self.store().end_running(&record.id, ExecState::Lost).or_fail()?;
        find()
    }
}

fn relative(cwd: &str) -> String {
    match cwd.strip_prefix("/workspace") {
        Some("") => ".".to_owned(),
        Some(rest) => rest.trim_start_matches('/').to_owned(),
        None => cwd.to_owned(),
    }
}

fn seconds(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1_000, ms % 1_000 / 100) }
}

fn verdict(exec: &ExecRecord, duration_ms: u64) -> String {
    let time = seconds(duration_ms);
    match exec.state {
        ExecState::Running => format!("still running after {time}"),
        ExecState::Exited => match exec.exit_code {
            Some(0) => format!("exited 0 (success) in {time}"),
            Some(127) => format!("exited 127 (command not found) in {time}"),
            Some(code) => format!("exited {code} (failed) in {time}"),
            None => format!("exited in {time}"),
        },
        ExecState::Signaled => {
            format!("ended by signal {} after {time}", exec.signal.unwrap_or_default())
        }
        ExecState::TimedOut => format!("timed out: ended after {time}"),
        ExecState::Cancelled => "was ended before it finished".to_owned(),
        ExecState::Lost => "its machine ended before the result was known".to_owned(),
    }
}

fn next(exec: &ExecRecord) -> Option<Next> {
    let (tool, why) = match exec.state {
        ExecState::Running => {
            ("workspace_exec_wait", "the command goes on; wait for it by its exec_id")
        }
        ExecState::TimedOut => {
            ("workspace_exec", "run it again with a larger timeout_s if it needs longer")
        }
        ExecState::Lost => ("workspace_status", "see how the workspace stands"),
        ExecState::Exited | ExecState::Signaled | ExecState::Cancelled => return None,
    };
    Some(Next { tool: tool.to_owned(), why: why.to_owned() })
}

/// What a person who knows pyro would add to a failed command.
fn hints(exec: &ExecRecord, stderr: &str) -> Vec<String> {
    let mut hints = Vec::new();
    if exec.exit_code == Some(0) || exec.state == ExecState::Running {
        return hints;
    }
    if stderr.contains("Invalid cross-device link") || stderr.contains("EXDEV") {
        hints.push(
            "renaming a directory that came with the seed is refused by the layered file system: \
             use `cp -a OLD NEW && rm -rf OLD` (with git: then `git add -A`)"
                .to_owned(),
        );
    }
    if [
        "Could not resolve host",
        "Temporary failure in name resolution",
        "Network is unreachable",
        "EAI_AGAIN",
    ]
    .iter()
    .any(|text| stderr.contains(text))
    {
        hints.push("this workspace has no network (policy `off`)".to_owned());
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_what_json_writes() {
        for text in ["plain", "a\nb\t\"q\"\\", "\u{1}\u{7f}é😀", "\u{8}\u{c}\r"] {
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(escaped_length(text), json.len() - 2, "{text:?}");
        }
    }
}
