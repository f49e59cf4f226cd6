//! Commands over one connection, for suites: short lines, whole answers.

use std::{
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use pyro_model::{ExecId, ExecState, OutputStream};
use pyro_protocol::{
    GuestMessage, HostMessage,
    exec::{ExecStart, Finished, Follow, Program},
};

use super::Broken;
use crate::Guest;

/// Longer than anything that a suite waits for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection after the handshake.
#[derive(Debug)]
pub struct Session {
    /// The host's end.
    pub guest: Guest,
}

/// A command that ended.
#[derive(Debug)]
pub struct Output {
    /// How.
    pub finished: Finished,
    /// What it wrote.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

impl Output {
    /// Whether it ended by itself with 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.finished.state == ExecState::Exited && self.finished.exit_code == Some(0)
    }
}

impl Session {
    /// Shakes hands.
    ///
    /// # Errors
    /// The agent does not.
    pub fn new(stream: UnixStream) -> Result<Self, Broken> {
        Ok(Self { guest: Guest::handshake(stream, PATIENCE)? })
    }

    /// Runs a line of shell in `/` to its end.
    ///
    /// # Errors
    /// The agent refuses, or does not answer.
    pub fn run(&mut self, line: &str) -> Result<Output, Broken> {
        self.run_within(line, PATIENCE)
    }

    /// The same, with a time after which the agent ends it.
    ///
    /// # Errors
    /// The agent refuses, or does not answer.
    pub fn run_within(&mut self, line: &str, time: Duration) -> Result<Output, Broken> {
        let call = self.guest.send(start(line, time, Follow::Output { stdout: 0, stderr: 0 })?)?;
        self.follow(call)
    }

    /// Runs a line and wants it to succeed.
    ///
    /// # Errors
    /// It did not.
    pub fn must(&mut self, line: &str) -> Result<String, Broken> {
        let output = self.run(line)?;
        if output.ok() {
            return Ok(output.stdout);
        }
        Err(Broken(format!("`{line}` ended as {:?}: {}", output.finished.state, output.stderr)))
    }

    /// Starts a line and does not wait for its end.
    ///
    /// # Errors
    /// The agent refuses.
    pub fn begin(&mut self, line: &str) -> Result<ExecId, Broken> {
        let message = start(line, PATIENCE, Follow::End)?;
        let HostMessage::Exec(exec) = &message else {
            return Err(Broken("a start is a start".to_owned()));
        };
        let id = exec.exec.clone();
        let call = self.guest.send(message)?;
        match self.next(call)? {
            GuestMessage::Started { .. } => Ok(id),
            other => Err(Broken(format!("starting `{line}` was answered by {other:?}"))),
        }
    }

    /// Waits for a command that somebody started.
    ///
    /// # Errors
    /// The agent does not know it, or does not answer.
    pub fn attach(&mut self, exec: ExecId) -> Result<Output, Broken> {
        let follow = Follow::Output { stdout: 0, stderr: 0 };
        let call = self.guest.send(HostMessage::ExecAttach { exec, follow })?;
        self.follow(call)
    }

    fn follow(&mut self, call: u32) -> Result<Output, Broken> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        loop {
            match self.next(call)? {
                GuestMessage::Started { .. } => {}
                GuestMessage::Output { stream, bytes, .. } => {
                    let credit = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    self.guest.send_on(call, HostMessage::Credit { bytes: credit })?;
                    match stream {
                        OutputStream::Stdout => stdout.extend(bytes),
                        OutputStream::Stderr => stderr.extend(bytes),
                    }
                }
                GuestMessage::Finished(finished) => {
                    return Ok(Output {
                        finished,
                        stdout: String::from_utf8_lossy(&stdout).into_owned(),
                        stderr: String::from_utf8_lossy(&stderr).into_owned(),
                    });
                }
                GuestMessage::Failed(refusal) => return Err(Broken(refusal.message)),
                other => return Err(Broken(format!("a command was answered by {other:?}"))),
            }
        }
    }

    fn next(&mut self, call: u32) -> Result<GuestMessage, Broken> {
        Ok(self.guest.receive(call, Some(Instant::now() + PATIENCE * 2), None)?)
    }
}

fn start(line: &str, time: Duration, follow: Follow) -> Result<HostMessage, Broken> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())?;
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    Ok(HostMessage::Exec(Box::new(ExecStart {
        exec: ExecId::from_random(random),
        line: line.to_owned(),
        program: Program::Words(["sh", "-c", line].map(str::to_owned).to_vec()),
        cwd: "/".to_owned(),
        environment: [("PATH", path), ("HOME", "/root"), ("LC_ALL", "C")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        stdin: None,
        timeout_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        kept_bytes: 1 << 20,
        follow,
        at_ms: pyro_model::Timestamp::now().0,
    })))
}
