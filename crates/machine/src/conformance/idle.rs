//! A machine that nobody uses ends by itself; one with a running command does not.

use std::{
    io::{ErrorKind, Read},
    time::{Duration, Instant},
};

use super::{Fixture, Session, Verdict, ensure, session::PATIENCE};
use crate::Machine;

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    let mut workspace = fixture.workspace(machine)?;
    workspace.spec.idle_ttl_s = 1;
    let stream = machine.start(&workspace.spec)?.stream;
    let mut end = stream.try_clone()?;
    let began = Instant::now();
    let mut session = Session::new(stream)?;
    session.must("sleep 2")?;
    ensure!(began.elapsed() >= Duration::from_secs(2), "the command ran to its end");
    ensure!(machine.is_running(workspace.directory())?, "it ended under a running command");
    drop(session);
    // The agent's end of the connection closes when the machine ends.
    end.set_nonblocking(false)?;
    end.set_read_timeout(Some(PATIENCE))?;
    loop {
        match end.read(&mut [0; 64]) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error.into()),
        }
    }
    machine.end(workspace.directory())?;
    ensure!(began.elapsed() < PATIENCE, "an idle machine ends");
    Ok(())
}
