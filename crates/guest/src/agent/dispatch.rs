//! What the host asks, call by call.

use std::time::Instant;

use pyro_protocol::{
    GuestMessage, HostFrame, HostMessage, VERSION,
    exec::MachineStatus,
    message::{Refusal, RefusalKind},
};
use rustix::process::getpid;

use super::{
    connection::Call,
    exec::Caller,
    files,
    follow::Follower,
    jobs::{Job, Sink, Slice},
    refusal::{Answer, refuse},
    serve::Agent,
    tree,
};

/// Running commands that one status names.
const NAMED: usize = 1_000;

impl Agent {
    pub(super) fn handle(&mut self, number: u64, frame: HostFrame) {
        let caller = (number, frame.call);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        match &frame.message {
            HostMessage::Hello { version } => {
                connection.greeted = *version == VERSION;
                let boot = self.config.spec.boot;
                return self.answer(caller, GuestMessage::Hello { version: VERSION, boot });
            }
            // Nothing is understood before both sides know that they speak the same version; and
            // two open calls of one number cannot be told apart.
            _ if !connection.greeted => return self.drop_connection(number),
            HostMessage::Credit { bytes } => return self.grant(caller, *bytes),
            HostMessage::Cancel => return self.cancel(caller),
            _ if connection.calls.contains_key(&frame.call) => {
                return self.drop_connection(number);
            }
            _ => {}
        }
        let result = if connection.calls.len() >= connection.most_calls() {
            Err(refuse(RefusalKind::TooLarge, "the connection", "open another call on it"))
        } else if self.ending.is_some() && !matches!(frame.message, HostMessage::Shutdown) {
            Err(refuse(RefusalKind::Invalid, "the machine", "do that: the machine is ending"))
        } else {
            self.begin(caller, frame.message)
        };
        if let Err(refusal) = result {
            self.answer(caller, GuestMessage::Failed(refusal));
        }
    }

    fn begin(&mut self, caller: Caller, message: HostMessage) -> Answer<()> {
        if !matches!(message, HostMessage::Status | HostMessage::Upper(_)) {
            self.last_use = Instant::now();
        }
        let files = &self.workspace;
        match message {
            HostMessage::Exec(start) => return self.start_command(caller, &start),
            HostMessage::ExecAttach { exec, follow } => {
                let number = self.known(&exec)?;
                self.follow(caller, Follower::new(number, follow));
            }
            HostMessage::ExecSignal { exec, signal } => {
                let number = self.known(&exec)?;
                self.signal(number, signal)?;
                self.answer(caller, GuestMessage::Done);
            }
            HostMessage::ExecStop { exec, signal, grace_ms } => {
                let number = self.known(&exec)?;
                self.ask_stop(caller, number, signal, grace_ms)?;
            }
            HostMessage::List(list) => {
                let job = files::list::begin(files, &list)?;
                self.add_job(caller, job);
            }
            HostMessage::Read(read) => {
                let job = files::read::begin(files, &read)?;
                self.add_job(caller, job);
            }
            HostMessage::Write(write) => {
                let written = files::write::write(files, &write)?;
                self.answer(caller, GuestMessage::Written(written));
            }
            HostMessage::Edit(edit) => {
                let edited = files::edit::edit(files, &edit)?;
                self.answer(caller, GuestMessage::Edited(edited));
            }
            HostMessage::Patch(patch) => {
                let answer = files::patch::patch(files, &patch)?;
                self.answer(caller, answer);
            }
            HostMessage::Upper(list) => {
                let job = files::upper::begin(files, list)?;
                self.add_job(caller, job);
            }
            HostMessage::Pack(pack) => {
                let job = files::pack::begin(files, pack)?;
                self.add_job(caller, job);
            }
            HostMessage::Status => {
                let status = self.status();
                self.answer(caller, GuestMessage::Status(status));
            }
            HostMessage::Shutdown => self.ask_shutdown(caller),
            // Answered by `handle`.
            HostMessage::Hello { .. } | HostMessage::Credit { .. } | HostMessage::Cancel => {}
        }
        Ok(())
    }

    pub(super) fn answer(&mut self, caller: Caller, message: GuestMessage) {
        if let Some(connection) = self.connections.get_mut(&caller.0) {
            connection.answer(caller.1, message);
            self.touched.insert(caller.0);
        }
    }

    pub(super) fn open_call(&mut self, caller: Caller, call: Call) {
        if let Some(connection) = self.connections.get_mut(&caller.0) {
            connection.calls.insert(caller.1, call);
        }
    }

    pub(super) fn follow(&mut self, caller: Caller, follower: Follower) {
        let Some(exec) = self.execs.get_mut(&follower.exec) else { return };
        exec.waiters.push(caller);
        self.open_call(caller, Call::Follow(follower));
        self.pump(caller);
    }

    fn add_job(&mut self, caller: Caller, job: Box<dyn Job>) {
        self.open_call(caller, Call::Job(job, pyro_protocol::WINDOW.into()));
        self.work.push_back(caller);
    }

    /// Does one slice of a job.
    pub(super) fn slice(&mut self, caller: Caller) {
        let Some(connection) = self.connections.get_mut(&caller.0) else { return };
        let (mut job, credit) = match connection.calls.remove(&caller.1) {
            Some(Call::Job(job, credit)) => (job, credit),
            Some(other) => {
                connection.calls.insert(caller.1, other);
                return;
            }
            None => return,
        };
        self.touched.insert(caller.0);
        let mut sink = Sink { connection, call: caller.1, credit, scratch: &mut self.scratch };
        let result = job.slice(&mut sink);
        let credit = sink.credit;
        match result {
            Ok(Slice::More) => self.work.push_back(caller),
            Ok(Slice::Blocked) => connection.stalled |= connection.is_full(),
            Ok(Slice::Done) => return,
            Err(refusal) => return connection.answer(caller.1, GuestMessage::Failed(refusal)),
        }
        connection.calls.insert(caller.1, Call::Job(job, credit));
    }

    fn grant(&mut self, caller: Caller, bytes: u32) {
        let Some(connection) = self.connections.get_mut(&caller.0) else { return };
        match connection.calls.get_mut(&caller.1) {
            Some(Call::Follow(follower)) => {
                follower.credit = follower.credit.saturating_add(bytes.into());
            }
            Some(Call::Job(_, credit)) => *credit = credit.saturating_add(bytes.into()),
            // The call may have ended while the grant was on its way.
            _ => return,
        }
        self.resume(caller);
    }

    /// Goes on with a call that may have been waiting for credit or room.
    pub(super) fn resume(&mut self, caller: Caller) {
        let Some(connection) = self.connections.get(&caller.0) else { return };
        match connection.calls.get(&caller.1) {
            Some(Call::Follow(_)) => self.pump(caller),
            Some(Call::Job(..)) if !self.work.contains(&caller) => self.work.push_back(caller),
            _ => {}
        }
    }

    /// The caller gives the call up; a command goes on, and so does the end of a tree.
    fn cancel(&mut self, caller: Caller) {
        let Some(connection) = self.connections.get_mut(&caller.0) else { return };
        if let Some(open) = connection.calls.remove(&caller.1) {
            self.forget(caller, open);
        }
    }

    /// Takes a closed call out of where it was waited for.
    pub(super) fn forget(&mut self, caller: Caller, open: Call) {
        if let Call::Follow(follower) = open
            && let Some(exec) = self.execs.get_mut(&follower.exec)
        {
            exec.waiters.retain(|waiter| *waiter != caller);
            if let Some(active) = &mut exec.active {
                active.starter.take_if(|starter| *starter == caller);
            }
            self.rest(follower.exec);
        }
    }

    fn status(&self) -> MachineStatus {
        let all = tree::processes(std::os::fd::AsFd::as_fd(&self.proc)).unwrap_or_default();
        let agent = getpid().as_raw_nonzero().get();
        let inside = tree::below(&[agent], &all)
            .iter()
            .filter(|process| !self.by_supervisor.contains_key(&process.pid))
            .count();
        let now = Instant::now();
        let running = self.execs.values().filter(|exec| exec.is_running());
        MachineStatus {
            processes: u32::try_from(inside).unwrap_or(u32::MAX),
            running: running.take(NAMED).map(|exec| exec.id.clone()).collect(),
            idle_ms: millis(if self.is_busy() { now } else { self.last_use }, now),
            uptime_ms: millis(self.began, now),
        }
    }
}

fn millis(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

/// A refusal for a command that nobody knows.
pub(super) fn unknown(exec: &pyro_model::ExecId) -> Refusal {
    refuse(RefusalKind::NotFound, exec.as_str(), format!("find the command {exec}"))
}
