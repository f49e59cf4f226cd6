//! Starting a command in a machine and attending to it: until it ends, the caller's patience is
//! over, or the caller cancels.

use std::time::{Duration, Instant};

use pyro_machine::{Guest, GuestError};
use pyro_model::{ExecId, OutputStream, Timestamp, limits};
use pyro_operations::{Code, Failure};
use pyro_protocol::{
    GuestMessage, HostMessage,
    exec::{ExecStart, Follow, Program},
    message::RefusalKind,
};

use crate::{
    Context, Live,
    context::Door,
    failure::{IntoFailure, OrFail},
};

/// How long an agent may take to start a command, or to end one.
const PROMPT: Duration = Duration::from_secs(30);

/// One command to start.
#[derive(Clone)]
pub(super) struct Command {
    pub(super) exec: ExecId,
    pub(super) line: String,
    pub(super) program: Program,
    pub(super) cwd: String,
    pub(super) environment: Vec<(String, String)>,
    pub(super) stdin: Option<Vec<u8>>,
    pub(super) timeout_s: Option<u64>,
}

/// How attending ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attended {
    /// The command ended.
    Finished,
    /// It goes on: the caller's patience is over.
    Running,
    /// The agent went away: the spool says what is known.
    Gone,
}

fn follow(context: &Context) -> Follow {
    match context.live {
        Some(_) => Follow::Output { stdout: 0, stderr: 0 },
        None => Follow::End,
    }
}

/// How long a call waits for a command.
pub(super) fn patience(wait_s: Option<u64>, context: &Context) -> Option<Duration> {
    match wait_s {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None if context.patient => None,
        None if context.progress.is_some() && context.door == Door::Mcp => {
            Some(Duration::from_secs(limits::WAIT_WITH_PROGRESS_S))
        }
        None => Some(Duration::from_secs(limits::WAIT_S)),
    }
}

/// Starts a command; it goes on whatever becomes of the connection.
pub(super) fn start(
    guest: &mut Guest,
    command: Command,
    context: &Context,
) -> Result<u32, Failure> {
    let id = command.exec.clone();
    let start = ExecStart {
        exec: command.exec,
        line: command.line,
        program: command.program,
        cwd: command.cwd,
        environment: command.environment,
        stdin: command.stdin,
        timeout_ms: command.timeout_s.unwrap_or(limits::EXEC_TIMEOUT_S) * 1_000,
        kept_bytes: limits::OUTPUT_KEPT_BYTES,
        follow: follow(context),
        at_ms: Timestamp::now().0,
    };
    let call = guest.send(HostMessage::Exec(Box::new(start))).or_fail()?;
    match guest.receive(call, Some(Instant::now() + PROMPT), None).or_fail()? {
        GuestMessage::Started { .. } => {
            if let Some(live) = &context.live {
                live(Live::Started(&id));
            }
            Ok(call)
        }
        GuestMessage::Failed(refusal) => Err(refusal.into_failure()),
        _ => Err(GuestError::Unexpected { call: "exec" }.into_failure()),
    }
}

/// Whether a start was refused because the machine was only started to look at its disk.
pub(super) fn met_a_look(failure: &Failure) -> bool {
    failure.code == Code::InvalidArgument
        && failure.details.get("what").is_some_and(|what| what == "the machine")
}

/// Takes a command up again. `None` when the agent does not know it (any more).
pub(super) fn attach(guest: &mut Guest, exec: &ExecId, context: &Context) -> Result<u32, Failure> {
    guest.send(HostMessage::ExecAttach { exec: exec.clone(), follow: follow(context) }).or_fail()
}

/// Whether this agent knows a command.
pub(super) fn knows(guest: &mut Guest, exec: &ExecId) -> Result<bool, Failure> {
    let message = HostMessage::ExecSignal { exec: exec.clone(), signal: 0 };
    match guest.ask(message, PROMPT, None) {
        Err(GuestError::Gone) => Ok(false),
        // It refuses the signal 0, but first of all a command that it does not know.
        Err(GuestError::Refused(refusal)) => Ok(refusal.kind != RefusalKind::NotFound),
        Ok(_) => Ok(true),
        Err(error) => Err(error.into_failure()),
    }
}

/// Attends to a started or attached command.
pub(super) fn attend(
    guest: &mut Guest,
    call: u32,
    exec: &ExecId,
    patience: Option<Duration>,
    context: &Context,
) -> Result<Attended, Failure> {
    let deadline = patience.map(|patience| Instant::now() + patience);
    loop {
        match guest.receive(call, deadline, Some(&context.cancel)) {
            Ok(GuestMessage::Output { stream, bytes, .. }) => {
                let granted = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                hear(context, stream, &bytes);
                match guest.send_on(call, HostMessage::Credit { bytes: granted }) {
                    Err(GuestError::Gone) => return Ok(Attended::Gone),
                    sent => sent.or_fail()?,
                }
            }
            Ok(GuestMessage::Started { .. }) => {}
            // `Failed` here is an agent that does not know the command: the spool may.
            Ok(GuestMessage::Finished(_) | GuestMessage::Failed(_)) => {
                return Ok(Attended::Finished);
            }
            Ok(_) => return Err(GuestError::Unexpected { call: "exec" }.into_failure()),
            Err(GuestError::Deadline(_)) => return Ok(Attended::Running),
            Err(GuestError::Gone) => return Ok(Attended::Gone),
            Err(GuestError::Cancelled) => {
                if !context.leaves_command() {
                    end(guest, exec, 15, Duration::from_secs(2))?;
                }
                return Err(GuestError::Cancelled.into_failure());
            }
            Err(error) => return Err(error.into_failure()),
        }
    }
}

fn hear(context: &Context, stream: OutputStream, bytes: &[u8]) {
    if let Some(live) = &context.live {
        live(Live::Output(stream, bytes));
    }
}

/// Ends a command and its tree; how many processes could not be ended.
pub(super) fn end(
    guest: &mut Guest,
    exec: &ExecId,
    signal: i32,
    grace: Duration,
) -> Result<u32, Failure> {
    let message = HostMessage::ExecStop {
        exec: exec.clone(),
        signal,
        grace_ms: u32::try_from(grace.as_millis()).unwrap_or(u32::MAX),
    };
    match guest.ask(message, PROMPT, None) {
        Ok(GuestMessage::Stopped { survivors }) => Ok(survivors),
        // The machine was ended because its processes could not be.
        Err(GuestError::Gone) => Ok(0),
        Ok(_) => Err(GuestError::Unexpected { call: "exec_stop" }.into_failure()),
        Err(error) => Err(error.into_failure()),
    }
}
