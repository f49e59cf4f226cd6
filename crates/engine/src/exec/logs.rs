//! `workspace_logs`.

use pyro_model::{ExecState, OutputStream, limits};
use pyro_operations::{
    Code, Failure,
    exec::{LoggedExec, WorkspaceLogged, WorkspaceLogs},
};
use pyro_store::{ExecRecord, Record};

use super::escaped_length;
use crate::{Context, Engine, Handle, failure::OrFail, lookup::exec_id};

/// Rows of the list when the caller does not say.
const ROWS: u64 = 50;
/// Most rows of the list.
const ROWS_MOST: u64 = 100;
/// Characters that a row takes beside its command and its tail.
const ROW: usize = 180;
/// Bytes of output when the caller does not say.
const BYTES: u64 = 30_000;
/// Bytes of the longest character.
const CHARACTER: u64 = 4;
/// Characters of output as JSON writes them.
const CHARACTERS: usize = 42_000;

impl Handle<WorkspaceLogs> for Engine {
    fn handle(&self, request: WorkspaceLogs, _: &Context) -> Result<WorkspaceLogged, Failure> {
        let record = self.workspace(&request.workspace)?;
        match &request.exec_id {
            None => self.list_execs(&record, &request),
            Some(id) => {
                let exec = self.settled(&record, &exec_id(id)?)?;
                self.read_output(&record, &exec, &request)
            }
        }
    }
}

impl Engine {
    fn list_execs(
        &self,
        record: &Record,
        request: &WorkspaceLogs,
    ) -> Result<WorkspaceLogged, Failure> {
        self.import(record)?;
        let running = self.store().running(&record.id).or_fail()?;
        if let Some(first) = running.first() {
            // Finds out, for all of them, whether their machine is still there.
            self.settled(record, &exec_id(first)?)?;
        }
        let skip = request.offset.unwrap_or(0);
        let limit = request.limit.unwrap_or(ROWS).min(ROWS_MOST);
        let mut execs = self.store().execs(&record.id, skip, limit + 1).or_fail()?;
        let mut more = execs.len() as u64 > limit;
        execs.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut rows = Vec::new();
        let mut budget = CHARACTERS;
        for exec in execs {
            let row = LoggedExec {
                exec_id: exec.id.to_string(),
                command: exec.command.chars().take(200).collect(),
                state: exec.state,
                exit_code: exec.exit_code,
                duration_ms: exec.duration_ms,
                started_at: exec.started_at,
                tail: self.tail(record, &exec)?,
            };
            let cost = ROW + escaped_length(&row.command) + escaped_length(&row.tail);
            if cost > budget {
                more = true;
                break;
            }
            budget -= cost;
            rows.push(row);
        }
        let verdict = match rows.len() {
            0 if skip == 0 => "no command was run yet".to_owned(),
            1 => "1 command, newest first".to_owned(),
            n => format!("{n} commands, newest first"),
        };
        Ok(WorkspaceLogged {
            verdict,
            next_offset: more.then_some(skip + rows.len() as u64),
            execs: rows,
            output: None,
            eof: None,
            notices: Vec::new(),
        })
    }

    /// The end of what a command wrote: of stderr when it failed and wrote there.
    fn tail(&self, record: &Record, exec: &ExecRecord) -> Result<String, Failure> {
        let failed = exec.state != ExecState::Exited || exec.exit_code != Some(0);
        let (stream, total) = if exec.stdout_bytes == 0 || (failed && exec.stderr_bytes > 0) {
            (OutputStream::Stderr, exec.stderr_bytes)
        } else {
            (OutputStream::Stdout, exec.stdout_bytes)
        };
        let (_, bytes) =
            self.output(&record.id, &exec.id, stream, total, total.saturating_sub(800), 800)?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end();
        let skip = text.chars().count().saturating_sub(200);
        Ok(text.chars().skip(skip).collect())
    }

    fn read_output(
        &self,
        record: &Record,
        exec: &ExecRecord,
        request: &WorkspaceLogs,
    ) -> Result<WorkspaceLogged, Failure> {
        let stream = request.stream.unwrap_or(OutputStream::Stdout);
        let running = exec.state == ExecState::Running;
        let total = match (running, stream) {
            (true, _) => self.output_so_far(&record.id, &exec.id, stream),
            (false, OutputStream::Stdout) => exec.stdout_bytes,
            (false, OutputStream::Stderr) => exec.stderr_bytes,
        };
        let offset = request.offset.unwrap_or(0);
        if offset > total {
            return Err(Failure::new(
                Code::InvalidArgument,
                format!("offset: {offset} is past the end, {stream} has {total} bytes"),
            ));
        }
        // At least one character, however long: a part without any would be asked for for ever.
        let limit = request.limit.unwrap_or(BYTES).max(CHARACTER);
        let (from, mut bytes) = self.output(&record.id, &exec.id, stream, total, offset, limit)?;
        let more_follows = running || from + (bytes.len() as u64) < total;
        shorten(&mut bytes, more_follows);
        let to = from + bytes.len() as u64;
        let mut notices = Vec::new();
        if from > offset {
            notices.push(format!(
                "bytes {offset} to {from} were not kept: only head and tail of long output are"
            ));
        }
        Ok(WorkspaceLogged {
            verdict: format!("{stream} of {}: bytes {from} to {to} of {total}", exec.id),
            execs: Vec::new(),
            output: Some(String::from_utf8_lossy(&bytes).into_owned()),
            next_offset: (to < total || running).then_some(to),
            eof: Some(to == total && !running),
            notices,
        })
    }
}

/// Cuts bytes so that they fit into a reply, and not in the middle of a character: the parts of an
/// output, one after the other, read as the whole does.
fn shorten(bytes: &mut Vec<u8>, mut more_follows: bool) {
    let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    if let Some((last, _)) = ends.nth(limits::OUTPUT_LINES_MOST - 1)
        && last + 1 < bytes.len()
    {
        bytes.truncate(last + 1);
        more_follows = true;
    }
    while escaped_length(&String::from_utf8_lossy(bytes)) > CHARACTERS {
        bytes.truncate(bytes.len() / 4 * 3);
        more_follows = true;
    }
    let Some(last) = bytes.utf8_chunks().last().map(|chunk| chunk.invalid().to_vec()) else {
        return;
    };
    let waits = std::str::from_utf8(&last).is_err_and(|error| error.error_len().is_none());
    if more_follows && waits {
        bytes.truncate(bytes.len() - last.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(bytes: &[u8], more_follows: bool) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        shorten(&mut bytes, more_follows);
        bytes
    }

    #[test]
    fn a_part_ends_before_a_character_that_is_not_whole() {
        assert_eq!(shortened("aé".as_bytes(), true), "aé".as_bytes());
        assert_eq!(shortened(b"a\xc3", true), b"a");
        assert_eq!(shortened(b"\xff b\xf0\x9f\x98", true), b"\xff b");
        assert_eq!(shortened(b"a\xff", true), b"a\xff", "what no byte makes whole");
        assert_eq!(shortened(b"a\xc3", false), b"a\xc3", "nothing follows");
        assert_eq!(shortened(b"", true), b"");
    }

    #[test]
    fn a_part_has_a_bounded_number_of_lines() {
        let lines = shortened("a\n".repeat(10_000).as_bytes(), false);
        assert_eq!(lines.len(), 2 * limits::OUTPUT_LINES_MOST);
        let few = "a\n".repeat(limits::OUTPUT_LINES_MOST);
        assert_eq!(shortened(few.as_bytes(), false), few.as_bytes());
    }

    #[test]
    fn a_part_that_is_cut_to_fit_ends_at_a_character_too() {
        let text = [b"\xff".to_vec(), "é\u{1}".repeat(10_000).into_bytes()].concat();
        let part = shortened(&text, false);
        let whole = String::from_utf8_lossy(&text);
        assert!(part.len() > 10_000 && whole.starts_with(&*String::from_utf8_lossy(&part)));
    }
}
