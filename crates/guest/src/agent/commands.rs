//! A command's life as the agent sees it: started, its output, its end.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use pyro_model::{ExecId, OutputStream, time::Timestamp};
use pyro_protocol::{
    GuestMessage, exec::ExecStart, message::RefusalKind, spool::Record, vm::FromVm,
};
use rustix::io::{Errno, ioctl_fionread, read};

use super::{
    command::Command,
    dispatch::unknown,
    exec::{ACTIVE, Active, Caller, Exec, REMEMBERED},
    follow::{Follower, STREAMS},
    output::Output,
    poller::Token,
    refusal::{Answer, from_errno, refuse},
    report::Report,
    serve::Agent,
    supervisor::{self, Ground, Running},
    timers::Due,
};

impl Agent {
    pub(super) fn start_command(&mut self, caller: Caller, start: &ExecStart) -> Answer<()> {
        if self.config.spec.inspect_only {
            let why = "run the command: the machine was started only to look at its disk";
            return Err(refuse(RefusalKind::Invalid, "the machine", why));
        }
        if self.by_id.contains_key(&start.exec) {
            let why = format!("run the command: the id {} is taken", start.exec);
            return Err(refuse(RefusalKind::Invalid, start.exec.as_str(), why));
        }
        if self.execs.values().filter(|exec| exec.active.is_some()).count() >= ACTIVE {
            let why = "run the command: too many run already";
            return Err(refuse(RefusalKind::TooLarge, "the machine", why));
        }
        let command = Command::prepare(start, &self.config.workspace_path)?;
        self.follow_clock(start.at_ms);
        self.note(Record::ExecStarted {
            exec: start.exec.clone(),
            at_ms: Timestamp::now().0,
            line: start.line.clone(),
            cwd: start.cwd.clone(),
        });
        let began = Instant::now();
        let ground = Ground {
            proof: self.proof,
            confine: &self.config.confine,
            null: self.null.as_fd(),
            cgroup: self.config.cgroup.as_ref().map(AsFd::as_fd),
            open_files: &self.open_files,
        };
        let running = supervisor::start(&command, &ground);
        let number = self.add_exec(start, began, running.is_ok().then_some(caller));
        let watched = running.and_then(|running| self.watch(number, running));
        if let Err(errno) = watched {
            // The log has both its ends; should its process exist, unwatched, it is ended.
            self.end_command(number, 0, true);
            self.time_out(number);
            return Err(from_errno("start", "the command", errno));
        }
        let at = began + Duration::from_millis(start.timeout_ms.min(u64::from(u32::MAX)));
        let timeout = self.timers.set(at, Due::Timeout(number));
        if let Some(active) = self.active(number) {
            active.timeout = Some(timeout);
        }
        self.follow(caller, Follower::new(number, start.follow));
        Ok(())
    }

    fn add_exec(&mut self, start: &ExecStart, began: Instant, starter: Option<Caller>) -> u64 {
        let number = self.fresh_number();
        let active = Active {
            began,
            starter,
            supervisor: None,
            orphaned: false,
            report: None,
            pipes: [None, None],
            main: None,
            ended: None,
            verdict: None,
            early_signal: None,
            timeout: None,
            stop: None,
        };
        self.by_id.insert(start.exec.clone(), number);
        let output = |stream| match self.spool {
            Some(_) => Output::kept(&start.exec, stream, start.kept_bytes),
            None => Output::passed(),
        };
        let outputs = [output(OutputStream::Stdout), output(OutputStream::Stderr)];
        self.execs.insert(number, Exec::new(start.exec.clone(), outputs, active));
        number
    }

    fn watch(&mut self, number: u64, running: Running) -> rustix::io::Result<()> {
        self.by_supervisor.insert(running.supervisor, number);
        let Some(exec) = self.execs.get_mut(&number) else { return Ok(()) };
        let Some(active) = &mut exec.active else { return Ok(()) };
        active.supervisor = Some(running.supervisor);
        let mut result = self.poller.add(&running.report, Token::Report(number));
        active.report = Some(running.report);
        for (stream, pipe) in running.outputs.into_iter().enumerate() {
            result = result.and(self.poller.add(&pipe, Token::Output(number, stream)));
            active.pipes[stream] = Some(pipe);
        }
        result
    }

    pub(super) fn known(&self, exec: &ExecId) -> Answer<u64> {
        self.by_id.get(exec).copied().ok_or_else(|| unknown(exec))
    }

    pub(super) fn active(&mut self, number: u64) -> Option<&mut super::exec::Active> {
        self.execs.get_mut(&number)?.active.as_deref_mut()
    }

    /// Takes what a supervisor (or the command before its `execve`) said.
    pub(super) fn read_report(&mut self, number: u64) {
        let mut buffer = [0; 512];
        loop {
            let Some(report) = self.active(number).and_then(|active| active.report.as_ref()) else {
                return;
            };
            match read(report, &mut buffer) {
                Ok(0) => break,
                Ok(bytes) => {
                    for report in Report::decode_all(&buffer[..bytes]) {
                        self.on_report(number, report);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => break,
            }
        }
        // Nobody can say anything any more.
        if let Some(active) = self.active(number)
            && let Some(report) = active.report.take()
        {
            self.poller.remove(&report);
        }
        self.check_lost(number);
        self.rest(number);
    }

    fn on_report(&mut self, number: u64, report: Report) {
        match report {
            Report::Exists { pid } => {
                let Some(active) = self.active(number) else { return };
                active.main = Some(pid);
                let (starter, early) = (active.starter.take(), active.early_signal.take());
                if let Some(caller) = starter {
                    let pid = pid.unsigned_abs();
                    self.answer(caller, GuestMessage::Started { pid });
                }
                if let Some(signal) = early {
                    // It was asked before the process was there; nobody waits for the result.
                    let _ = self.signal(number, signal);
                }
            }
            Report::Ended { status } => self.main_ended(number, status),
            Report::NotStarted { errno, step } => self.not_started(number, errno, &step),
        }
    }

    /// It never came to `execve`. Whoever started it is told why; the others that it is lost.
    fn not_started(&mut self, number: u64, errno: i32, step: &str) {
        let errno = Errno::from_raw_os_error(errno);
        let refusal = from_errno(step, "for the command", errno);
        let Some(exec) = self.execs.get_mut(&number) else { return };
        let Some(first) = exec.waiters.first().copied() else {
            return self.end_command(number, 0, true);
        };
        exec.waiters.remove(0);
        if let Some(connection) = self.connections.get_mut(&first.0) {
            connection.calls.remove(&first.1);
        }
        self.answer(first, GuestMessage::Failed(refusal));
        self.end_command(number, 0, true);
    }

    /// The command's own process is over. What its pipes hold now is its output; what comes later
    /// is from processes it left behind.
    pub(super) fn main_ended(&mut self, number: u64, status: i32) {
        let Some(active) = self.active(number) else { return };
        if active.ended.is_some() {
            return;
        }
        active.ended = Some((status, active.began.elapsed()));
        if active.stop.is_none() {
            self.end_command(number, 0, false);
        } else {
            // How many of its tree survive is known once that has been ended.
            self.drain(number);
        }
    }

    fn drain(&mut self, number: u64) {
        for stream in 0..2 {
            let pipe = |agent: &mut Self| {
                let pipe = agent.active(number)?.pipes[stream].as_ref()?;
                ioctl_fionread(pipe).ok()
            };
            let mut held = pipe(self).unwrap_or(0);
            while held > 0 {
                let most = usize::try_from(held).unwrap_or(usize::MAX);
                match self.take_output(number, stream, most) {
                    Some(taken) if taken > 0 => held = held.saturating_sub(taken as u64),
                    _ => break,
                }
            }
        }
    }

    /// Moves at most `most` bytes (and one buffer) from a pipe to the spool or the port. `None` when there was
    /// nothing to take; the pipe is closed at its end.
    fn take_output(&mut self, number: u64, stream: usize, most: usize) -> Option<usize> {
        let exec = self.execs.get_mut(&number)?;
        let pipe = &mut exec.active.as_mut()?.pipes[stream];
        let most = most.min(self.scratch.len());
        match read(pipe.as_ref()?, &mut self.scratch[..most]) {
            Ok(bytes) if bytes > 0 => {
                let taken = &self.scratch[..bytes];
                match (&mut exec.outputs[stream], &self.spool) {
                    (Output::Kept(kept), Some(spool)) => kept.store(spool.directory.as_fd(), taken),
                    (Output::Passed(passed), _) => {
                        if passed.count(bytes) {
                            let (exec, stream) = (exec.id.clone(), STREAMS[stream]);
                            let bytes = taken.to_vec();
                            self.tell(&FromVm::Output { exec, stream, bytes });
                        }
                    }
                    (Output::Kept(_), None) => {}
                }
                return Some(bytes);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(_) | Err(_) => {
                if let Some(pipe) = pipe.take() {
                    self.poller.remove(&pipe);
                }
            }
        }
        None
    }

    pub(super) fn read_output(&mut self, number: u64, stream: usize) {
        if self.port_takes_no_output() {
            return self.hold(number, stream);
        }
        // Whoever started it hears of its process before its output.
        if self.active(number).is_some_and(|active| active.starter.is_some()) {
            self.read_report(number);
        }
        if self.take_output(number, stream, usize::MAX).is_some() {
            let waiters = self.execs.get(&number).map(|exec| exec.waiters.clone());
            for waiter in waiters.into_iter().flatten() {
                self.pump(waiter);
            }
        } else {
            self.rest(number);
        }
    }

    /// Reports a command's end, once.
    pub(super) fn end_command(&mut self, number: u64, survivors: u32, lost: bool) {
        self.drain(number);
        let Some(exec) = self.execs.get_mut(&number) else { return };
        if exec.finished.is_some() {
            return;
        }
        let Some(finished) = exec.end(survivors, lost) else { return };
        for output in &mut exec.outputs {
            output.seal();
        }
        exec.finished = Some(finished.clone());
        let waiters = exec.waiters.clone();
        let timeout = exec.active.as_mut().and_then(|active| active.timeout.take());
        if let Some(key) = timeout {
            self.timers.cancel(key);
        }
        self.note(Record::ExecFinished { at_ms: Timestamp::now().0, finished });
        self.last_use = Instant::now();
        self.remembered.push_back(number);
        for waiter in waiters {
            self.pump(waiter);
        }
        self.rest(number);
        self.forget_oldest();
    }

    /// Lets go of what a finished command no longer needs.
    pub(super) fn rest(&mut self, number: u64) {
        let Some(exec) = self.execs.get_mut(&number) else { return };
        if exec.finished.is_none() {
            return;
        }
        let over = exec.active.as_ref().is_none_or(|active| {
            active.supervisor.is_none()
                && active.report.is_none()
                && active.stop.is_none()
                && active.pipes.iter().all(Option::is_none)
        });
        if over {
            exec.active = None;
            if exec.waiters.is_empty() {
                exec.outputs.iter_mut().for_each(Output::close);
            }
        }
    }

    fn forget_oldest(&mut self) {
        // One that still has processes or callers stays for another round.
        for _ in REMEMBERED..self.remembered.len() {
            let Some(number) = self.remembered.pop_front() else { return };
            match self.execs.get(&number) {
                Some(exec) if exec.active.is_some() || !exec.waiters.is_empty() => {
                    self.remembered.push_back(number);
                }
                Some(exec) => {
                    self.by_id.remove(&exec.id);
                    self.execs.remove(&number);
                }
                None => {}
            }
        }
    }
}
