//! What the agent knows of one command: while it runs, while processes it left behind still live,
//! and (little) when it is over.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use pyro_model::{ExecId, ExecState};
use pyro_protocol::exec::Finished;

use super::{output::Output, sweep::Sweep, timers::TimerKey};

/// A call that waits: its connection and its number.
pub(super) type Caller = (u64, u32);

/// Commands that may be active at once.
pub(super) const ACTIVE: usize = 1_000;
/// Finished commands that can still be attached to; older ones are in the host's journal.
pub(super) const REMEMBERED: usize = 1_000;

pub(super) struct Exec {
    pub(super) id: ExecId,
    pub(super) outputs: [Output; 2],
    /// Set once its end has been reported.
    pub(super) finished: Option<Finished>,
    /// Gone once nothing of it is left: no process, no open pipe.
    pub(super) active: Option<Box<Active>>,
    /// Calls that follow it or wait for its end.
    pub(super) waiters: Vec<Caller>,
}

pub(super) struct Active {
    pub(super) began: Instant,
    /// The call that started it, until it was told so.
    pub(super) starter: Option<Caller>,
    /// Its supervisor, until that was reaped.
    pub(super) supervisor: Option<i32>,
    /// The supervisor was killed: what it held together are strays, children of the agent.
    pub(super) orphaned: bool,
    pub(super) report: Option<OwnedFd>,
    pub(super) pipes: [Option<OwnedFd>; 2],
    /// The command's own process, known once it said so; leader of its group and session.
    pub(super) main: Option<i32>,
    /// How that ended, as `wait` says it, and after how long.
    pub(super) ended: Option<(i32, Duration)>,
    /// What its state will be, when that is not the process's own doing.
    pub(super) verdict: Option<ExecState>,
    /// A signal that came before its process was known.
    pub(super) early_signal: Option<i32>,
    pub(super) timeout: Option<TimerKey>,
    pub(super) stop: Option<Stop>,
}

/// Its tree is being ended.
pub(super) struct Stop {
    pub(super) callers: Vec<Caller>,
    /// The grace time, later the bound.
    pub(super) timer: Option<TimerKey>,
    /// Set once the grace time is over.
    pub(super) sweep: Option<Sweep>,
}

impl Exec {
    pub(super) fn new(id: ExecId, outputs: [Output; 2], active: Active) -> Self {
        Self { id, outputs, finished: None, active: Some(Box::new(active)), waiters: Vec::new() }
    }

    /// Its command's process has not ended yet (as far as is known).
    pub(super) fn is_running(&self) -> bool {
        self.finished.is_none()
    }

    /// What its end is reported as.
    pub(super) fn end(&self, survivors: u32, lost: bool) -> Option<Finished> {
        let active = self.active.as_ref()?;
        let status = if lost { None } else { active.ended.map(|(status, _)| status) };
        // The kernel's encoding: the signal in the low seven bits, else the code above eight.
        let signal = status.map(|status| status & 0x7f).filter(|signal| *signal != 0);
        let code = status.filter(|_| signal.is_none()).map(|status| (status >> 8) & 0xff);
        let state = match (active.verdict, code, signal) {
            (Some(verdict), ..) => verdict,
            (None, Some(_), _) => ExecState::Exited,
            (None, None, Some(_)) => ExecState::Signaled,
            (None, None, None) => ExecState::Lost,
        };
        let duration = active.ended.map_or_else(|| active.began.elapsed(), |(_, after)| after);
        Some(Finished {
            exec: self.id.clone(),
            state,
            exit_code: code.filter(|_| state == ExecState::Exited),
            signal: signal.filter(|_| state == ExecState::Signaled),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            stdout_bytes: self.outputs[0].total(),
            stderr_bytes: self.outputs[1].total(),
            survivors,
        })
    }
}
