//! What agents wrote down while nobody listened: brought over into the records, and the output of
//! commands read from where it lies.
//!
//! The files are written by a process that a guest may have taken over: every length is bounded,
//! and nothing in them names a path.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
};

use pyro_model::{ExecId, ExecState, OutputStream, Timestamp, WorkspaceId, limits};
use pyro_operations::{Code, Failure};
use pyro_protocol::spool::{
    EVENTS, Record as Entry, StopReason, decode_records, kept_pieces, output_file,
};
use pyro_store::{ExecRecord, Import, MachineNote, Record};

use crate::{
    Engine,
    failure::{OrFail, host_file},
};

/// Bytes of the log that are read at once.
const READ: u64 = 4 << 20;

/// Bytes of a reason that are kept.
const REASON_BYTES: usize = 400;

/// How the reason of a machine begins that ended without being told to.
const FAILED: &str = "the machine ended: ";

/// Why the machine of a workspace ended, where that was no good order.
pub(crate) fn failure_of(record: &Record) -> Option<&str> {
    record.state_reason.as_deref()?.strip_prefix(FAILED)
}

impl Engine {
    /// Opens a file of a workspace's spool; `None` when there is none.
    fn open_spool(&self, id: &WorkspaceId, name: &str) -> Result<Option<File>, Failure> {
        let path = self.layout().spool(id).join(name);
        // A taken-over agent may have put a link or a pipe there: neither is followed or waited for.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        match File::options().read(true).custom_flags(flags.bits().cast_signed()).open(&path) {
            Ok(file) if file.metadata().is_ok_and(|facts| facts.is_file()) => Ok(Some(file)),
            Ok(_) => Err(Failure::new(
                Code::MachineFailed,
                format!(
                    "{} is no file: the workspace's machine is not to be trusted",
                    path.display()
                ),
            )
            .hint("delete the workspace with workspace_delete")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(host_file("open", &path, &error)),
        }
    }

    /// Brings over what the agent wrote down since the last time, whichever door reads it first.
    pub(crate) fn import(&self, record: &Record) -> Result<(), Failure> {
        let Some(log) = self.open_spool(&record.id, EVENTS)? else { return Ok(()) };
        let mut offset = record.spool_offset;
        loop {
            let length = log.metadata().or_fail()?.len();
            if length <= offset {
                return Ok(());
            }
            let mut bytes = vec![0; usize::try_from((length - offset).min(READ)).unwrap_or(0)];
            let read = log.read_at(&mut bytes, offset).or_fail()?;
            let (entries, taken) = decode_records(&bytes[..read]);
            if taken == 0 {
                return Ok(());
            }
            let import = self.reading(record, offset, taken as u64, entries)?;
            let taken_over = self.store().import(&record.id, &import).or_fail()?;
            offset = if taken_over {
                import.to
            } else {
                // Another door was first: go on from where it stopped.
                match self.store().get(&record.id).or_fail()? {
                    Some(now) if now.spool_offset > offset => now.spool_offset,
                    _ => return Ok(()),
                }
            };
        }
    }

    fn reading(
        &self,
        record: &Record,
        from: u64,
        taken: u64,
        entries: Vec<Entry>,
    ) -> Result<Import, Failure> {
        let mut import = Import { from, to: from + taken, ..Import::default() };
        for entry in entries {
            match entry {
                Entry::MachineStarted { at_ms, .. } => {
                    lose(&mut import, at_ms);
                    import.machine = Some(MachineNote::Well);
                }
                Entry::ExecStarted { exec, at_ms, line, cwd } => {
                    import.last_activity_at = Some(Timestamp(at_ms));
                    import.execs.push(ExecRecord {
                        id: exec,
                        command: cut(line, limits::COMMAND_BYTES),
                        cwd: cut(cwd, limits::PATH_BYTES),
                        state: ExecState::Running,
                        exit_code: None,
                        signal: None,
                        started_at: Timestamp(at_ms),
                        duration_ms: None,
                        stdout_bytes: 0,
                        stderr_bytes: 0,
                    });
                }
                Entry::ExecFinished { at_ms, finished } => {
                    import.last_activity_at = Some(Timestamp(at_ms));
                    let known = import.execs.iter_mut().find(|exec| exec.id == finished.exec);
                    let stored = match known {
                        Some(_) => None,
                        None => self.store().exec(&record.id, &finished.exec).or_fail()?,
                    };
                    let exec = match (known, stored) {
                        (Some(exec), _) => exec,
                        (None, Some(exec)) => {
                            import.execs.push(exec);
                            let last = import.execs.len() - 1;
                            &mut import.execs[last]
                        }
                        // An end without a beginning is no command that pyro started.
                        (None, None) => continue,
                    };
                    exec.state = finished.state;
                    exec.exit_code =
                        finished.exit_code.filter(|_| finished.state == ExecState::Exited);
                    exec.signal = finished.signal;
                    exec.duration_ms = Some(finished.duration_ms);
                    exec.stdout_bytes = finished.stdout_bytes;
                    exec.stderr_bytes = finished.stderr_bytes;
                }
                Entry::MachineStopped { reason, .. } => {
                    import.machine = Some(match reason {
                        StopReason::Asked => MachineNote::Well,
                        StopReason::Idle => {
                            MachineNote::EndedFor("it was not used for its idle time".to_owned())
                        }
                        StopReason::Runaway => MachineNote::EndedFor(
                            "processes of a command could not be ended in another way".to_owned(),
                        ),
                    });
                }
                Entry::MachineFailed { at_ms, why } => {
                    lose(&mut import, at_ms);
                    import.machine = Some(MachineNote::EndedFor(format!(
                        "{FAILED}{}",
                        cut(printable(&why), REASON_BYTES)
                    )));
                }
            }
        }
        Ok(import)
    }

    /// Reads kept output of a command: bytes from `offset` on, at most `limit`, and the offset that
    /// they really begin at (later, where output is no longer kept).
    pub(crate) fn output(
        &self,
        id: &WorkspaceId,
        exec: &ExecId,
        stream: OutputStream,
        total: u64,
        offset: u64,
        limit: u64,
    ) -> Result<(u64, Vec<u8>), Failure> {
        let Some(file) = self.open_spool(id, &output_file(exec, stream))? else {
            return Ok((offset.min(total), Vec::new()));
        };
        for (from, at, length) in kept_pieces(total, limits::OUTPUT_KEPT_BYTES) {
            if from + length <= offset {
                continue;
            }
            let begin = offset.max(from);
            let wanted = (from + length - begin).min(limit);
            let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(0)];
            let mut filled = 0;
            while filled < bytes.len() {
                let read = file
                    .read_at(&mut bytes[filled..], at + (begin - from) + filled as u64)
                    .or_fail()?;
                if read == 0 {
                    break;
                }
                filled += read;
            }
            bytes.truncate(filled);
            return Ok((begin, bytes));
        }
        Ok((total, Vec::new()))
    }

    /// How much a stream holds now, for a command that still runs.
    pub(crate) fn output_so_far(
        &self,
        id: &WorkspaceId,
        exec: &ExecId,
        stream: OutputStream,
    ) -> u64 {
        match self.open_spool(id, &output_file(exec, stream)) {
            Ok(Some(file)) => file.metadata().map_or(0, |facts| facts.len()),
            _ => 0,
        }
    }
}

/// The machine is gone: every command that has no end is lost.
fn lose(import: &mut Import, at_ms: u64) {
    import.lost_before = Some(Timestamp(at_ms));
    for exec in &mut import.execs {
        if exec.state == ExecState::Running {
            exec.state = ExecState::Lost;
        }
    }
}

/// In one line, with what a terminal would obey made visible.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let mut end = bytes;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
