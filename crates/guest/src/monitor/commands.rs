//! The commands of this run of the machine as M knows them: what they wrote and how they ended
//! goes to the spool, and followers are answered from there, within their credit.
//!
//! Promises: nothing that the guest says names a command that M did not start; times, lines and
//! totals in the log are M's own. Output is read back from the spool rather than held, so a slow
//! follower costs nothing: what is overwritten before it comes is skipped, and the offsets say so.

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use pyro_model::{ExecId, ExecState, OutputStream, time::Timestamp};
use pyro_protocol::{
    GuestMessage, HostMessage, WINDOW,
    exec::{ExecStart, Finished, Follow},
    message::{Refusal, RefusalKind},
    spool::{Record, output_file},
};

use super::{
    door::Call,
    ending::End,
    serve::{Caller, Monitor},
};
use crate::spool::Kept;

/// Commands that may run at once, as in the agent.
const ACTIVE: usize = 1_000;
/// Finished commands that can still be attached to; older ones are in the host's journal.
const REMEMBERED: usize = 1_000;

const STREAMS: [OutputStream; 2] = [OutputStream::Stdout, OutputStream::Stderr];

/// One command.
pub(super) struct Command {
    id: ExecId,
    line: String,
    cwd: String,
    outputs: [Kept; 2],
    /// The log has its start: the guest took it.
    logged: bool,
    finished: Option<Finished>,
    /// When its time is over.
    due: Instant,
    /// Calls that follow it or wait for its end.
    waiters: Vec<Caller>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Commands {
    all: BTreeMap<u64, Command>,
    by_id: BTreeMap<ExecId, u64>,
    /// Finished ones, oldest first.
    remembered: VecDeque<u64>,
}

/// One follower's place.
pub(super) struct Follower {
    command: u64,
    offsets: Option<[u64; 2]>,
    credit: u64,
    /// The call by which the guest starts it, for the follower that asked for that.
    pub(super) start: Option<u32>,
}

impl Follower {
    fn new(command: u64, follow: Follow, start: Option<u32>) -> Self {
        let offsets = match follow {
            Follow::End => None,
            Follow::Output { stdout, stderr } => Some([stdout, stderr]),
        };
        Self { command, offsets, credit: WINDOW.into(), start }
    }
}

impl Commands {
    /// When the time of the first is over that has not ended.
    pub(super) fn first_due(&self) -> Option<Instant> {
        let running = self.all.values().filter(|command| command.finished.is_none());
        running.map(|command| command.due).min()
    }
}

impl Monitor {
    /// Has the guest start it, and follows it.
    pub(super) fn start_command(
        &mut self,
        caller: Caller,
        mut start: Box<ExecStart>,
    ) -> Result<(), Refusal> {
        if self.commands.by_id.contains_key(&start.exec) {
            let message = format!("run the command: the id {} is taken", start.exec);
            return Err(refuse(RefusalKind::Invalid, start.exec.as_str(), message));
        }
        let running = self.commands.all.values().filter(|command| command.finished.is_none());
        if running.count() >= ACTIVE {
            let message = "run the command: too many run already";
            return Err(refuse(RefusalKind::TooLarge, "the machine", message));
        }
        let number = self.fresh_number();
        let output = |stream| Kept::new(output_file(&start.exec, stream), start.kept_bytes);
        let command = Command {
            id: start.exec.clone(),
            line: start.line.clone(),
            cwd: start.cwd.clone(),
            outputs: STREAMS.map(output),
            logged: false,
            finished: None,
            due: Instant::now() + Duration::from_millis(start.timeout_ms.min(u32::MAX.into())),
            waiters: vec![caller],
        };
        self.expect_end(command.due);
        self.commands.by_id.insert(start.exec.clone(), number);
        self.commands.all.insert(number, command);
        let follow = std::mem::replace(&mut start.follow, Follow::End);
        let call = self.forward(caller, HostMessage::Exec(start), Some(number));
        let follower = Follower::new(number, follow, Some(call));
        self.open_call(caller, Call::Follow(follower));
        Ok(())
    }

    pub(super) fn attach(
        &mut self,
        caller: Caller,
        exec: &ExecId,
        follow: Follow,
    ) -> Result<(), Refusal> {
        let known = self.commands.by_id.get(exec).copied();
        let Some((number, command)) = known
            .and_then(|number| self.commands.all.get_mut(&number).map(|command| (number, command)))
        else {
            let message = format!("find the command {exec}");
            return Err(refuse(RefusalKind::NotFound, exec.as_str(), message));
        };
        command.waiters.push(caller);
        self.open_call(caller, Call::Follow(Follower::new(number, follow, None)));
        self.pump(caller);
        Ok(())
    }

    /// The guest's answer to the call that started a command. How it ends is the log's to say.
    pub(super) fn on_start_answer(&mut self, call: u32, number: u64, message: GuestMessage) {
        let Some(forwarded) = self.forwarded.get(&call) else { return };
        let caller = forwarded.caller;
        match message {
            GuestMessage::Started { pid } => {
                if let Some(caller) = caller {
                    self.answer(caller, GuestMessage::Started { pid });
                }
            }
            GuestMessage::Failed(refusal) => {
                self.forwarded.remove(&call);
                self.not_started(number, caller, &refusal);
            }
            GuestMessage::Finished(finished) => {
                self.forwarded.remove(&call);
                self.end_command(number, &finished);
            }
            // It follows nothing, and nothing else answers such a call.
            _ => {}
        }
    }

    fn not_started(&mut self, number: u64, starter: Option<Caller>, refusal: &Refusal) {
        let Some(command) = self.commands.all.get_mut(&number) else { return };
        if command.finished.is_some() {
            return;
        }
        // One whose start is in the log gets its end there, too, and the others wait for that.
        let told: Vec<Caller> = if command.logged {
            command.waiters.iter().copied().filter(|waiter| Some(*waiter) == starter).collect()
        } else {
            command.waiters.clone()
        };
        command.waiters.retain(|waiter| !told.contains(waiter));
        if !command.logged {
            self.forget_command(number);
        }
        for caller in told {
            if let Some(door) = self.doors.get_mut(&caller.0) {
                door.calls.remove(&caller.1);
            }
            self.answer(caller, GuestMessage::Failed(refusal.clone()));
        }
    }

    /// What the guest wants written down.
    pub(super) fn on_record(&mut self, record: Record) {
        match record {
            // M has written its own.
            Record::MachineStarted { .. } => {}
            Record::ExecStarted { exec, .. } => {
                if let Some(number) = self.commands.by_id.get(&exec).copied() {
                    self.log_start(number);
                    // From here on its end will be heard of without the call.
                    self.forwarded
                        .retain(|_, call| call.caller.is_some() || call.command != Some(number));
                }
            }
            Record::ExecFinished { finished, .. } => {
                if let Some(number) = self.commands.by_id.get(&finished.exec).copied() {
                    self.end_command(number, &finished);
                }
            }
            Record::MachineStopped { reason, .. } => self.ends_as(End::Stopped(reason)),
            Record::MachineFailed { why, .. } => self.ends_as(End::Failed(plain(&why))),
        }
    }

    fn log_start(&mut self, number: u64) {
        let Some(command) = self.commands.all.get_mut(&number) else { return };
        if !std::mem::replace(&mut command.logged, true) {
            self.log.append(&Record::ExecStarted {
                exec: command.id.clone(),
                at_ms: Timestamp::now().0,
                line: command.line.clone(),
                cwd: command.cwd.clone(),
            });
        }
    }

    /// Bytes that a command wrote.
    pub(super) fn on_output(&mut self, exec: &ExecId, stream: OutputStream, bytes: &[u8]) {
        let Some(number) = self.commands.by_id.get(exec).copied() else { return };
        let Some(command) = self.commands.all.get_mut(&number) else { return };
        let index = usize::from(stream == OutputStream::Stderr);
        command.outputs[index].store(self.spool.as_fd(), bytes);
        if command.finished.is_some() && command.waiters.is_empty() {
            command.outputs[index].close();
        }
        for waiter in command.waiters.clone() {
            self.pump(waiter);
        }
    }

    /// Its end, once.
    fn end_command(&mut self, number: u64, said: &Finished) {
        self.log_start(number);
        let Some(command) = self.commands.all.get_mut(&number) else { return };
        if command.finished.is_some() {
            return;
        }
        command.outputs.iter_mut().for_each(Kept::seal);
        let state = if said.state == ExecState::Running { ExecState::Lost } else { said.state };
        let finished = Finished {
            exec: command.id.clone(),
            state,
            exit_code: said.exit_code.filter(|_| state == ExecState::Exited),
            signal: said.signal.filter(|_| state == ExecState::Signaled),
            duration_ms: said.duration_ms,
            stdout_bytes: command.outputs[0].total(),
            stderr_bytes: command.outputs[1].total(),
            survivors: said.survivors,
        };
        command.finished = Some(finished.clone());
        let waiters = command.waiters.clone();
        if waiters.is_empty() {
            command.outputs.iter_mut().for_each(Kept::close);
        }
        self.log.append(&Record::ExecFinished { at_ms: Timestamp::now().0, finished });
        self.commands.remembered.push_back(number);
        for waiter in waiters {
            self.pump(waiter);
        }
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        // One that still has callers stays for another round.
        for _ in REMEMBERED..self.commands.remembered.len() {
            let Some(number) = self.commands.remembered.pop_front() else { return };
            match self.commands.all.get(&number) {
                Some(command) if !command.waiters.is_empty() => {
                    self.commands.remembered.push_back(number);
                }
                _ => self.forget_command(number),
            }
        }
    }

    fn forget_command(&mut self, number: u64) {
        if let Some(command) = self.commands.all.remove(&number) {
            self.commands.by_id.remove(&command.id);
        }
    }

    /// Sends a follower what it can have now, and the end if that was all.
    pub(super) fn pump(&mut self, caller: Caller) {
        let Some(door) = self.doors.get_mut(&caller.0) else { return };
        let Some(Call::Follow(follower)) = door.calls.get_mut(&caller.1) else { return };
        let number = follower.command;
        let Some(command) = self.commands.all.get_mut(&number) else { return };
        self.touched.insert(caller.0);
        let mut offsets = follower.offsets;
        let mut credit = follower.credit;
        let mut sent_all = true;
        for (index, offset) in offsets.iter_mut().flatten().enumerate() {
            loop {
                let room = usize::try_from(credit).unwrap_or(usize::MAX);
                let room = room.min(self.scratch.len());
                if door.is_full() || room == 0 {
                    door.stalled |= door.is_full();
                    sent_all &= *offset >= command.outputs[index].total();
                    break;
                }
                let buffer = &mut self.scratch[..room];
                let part = command.outputs[index].read(self.spool.as_fd(), *offset, buffer);
                let Some((at, read)) = part else { break };
                let (stream, bytes) = (STREAMS[index], self.scratch[..read].to_vec());
                door.answer(caller.1, GuestMessage::Output { stream, offset: at, bytes });
                *offset = at + read as u64;
                credit -= read as u64;
            }
        }
        if let Some(finished) = command.finished.as_ref().filter(|_| sent_all) {
            door.answer(caller.1, GuestMessage::Finished(finished.clone()));
            door.calls.remove(&caller.1);
            self.leave_command(number, caller);
        } else if let Some(Call::Follow(follower)) = door.calls.get_mut(&caller.1) {
            follower.offsets = offsets;
            follower.credit = credit;
        }
    }

    fn leave_command(&mut self, number: u64, caller: Caller) {
        let Some(command) = self.commands.all.get_mut(&number) else { return };
        command.waiters.retain(|waiter| *waiter != caller);
        if command.waiters.is_empty() && command.finished.is_some() {
            command.outputs.iter_mut().for_each(Kept::close);
        }
    }

    /// A follower goes; the command goes on.
    pub(super) fn unfollow(&mut self, caller: Caller, follower: &Follower) {
        self.leave_command(follower.command, caller);
        let Some(call) = follower.start else { return };
        let logged = self.commands.all.get(&follower.command).is_none_or(|command| command.logged);
        if let Some(forwarded) = self.forwarded.get_mut(&call) {
            // Whether the guest takes the command at all is not known yet: the answer is awaited.
            forwarded.caller = None;
            if logged {
                self.forwarded.remove(&call);
            }
            self.cancel_in_guest(call);
        }
    }

    /// More bytes for a follower.
    pub(super) fn grant_follower(&mut self, caller: Caller, bytes: u32) {
        let door = self.doors.get_mut(&caller.0);
        if let Some(Call::Follow(follower)) = door.and_then(|door| door.calls.get_mut(&caller.1)) {
            follower.credit = follower.credit.saturating_add(bytes.into());
            self.pump(caller);
        }
    }
}

/// Saying no in M's own name.
pub(super) fn refuse(
    kind: RefusalKind,
    what: impl Into<String>,
    message: impl Into<String>,
) -> Refusal {
    Refusal { kind, what: what.into(), message: message.into() }
}

/// The guest's words, short and plain.
fn plain(words: &str) -> String {
    words.chars().filter(|letter| !letter.is_control()).take(500).collect()
}
