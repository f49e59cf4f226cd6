//! A machine that is asked to stop ends by itself and leaves its lock free.

use std::io::Read;

use pyro_protocol::{GuestMessage, HostMessage};

use super::{Fixture, Verdict, ensure, session::PATIENCE};
use crate::Machine;

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    let workspace = fixture.workspace(machine)?;
    workspace.session(machine, |session| {
        session.must("echo kept > /workspace/kept")?;
        let mut end = machine.connect(workspace.directory())?;
        let answer = session.guest.ask(HostMessage::Shutdown, PATIENCE, None)?;
        ensure!(matches!(answer, GuestMessage::Done), "a shutdown is answered by {answer:?}");
        end.set_read_timeout(Some(PATIENCE))?;
        // Reset or end: the agent is gone either way.
        let _ = end.read(&mut [0; 64]);
        Ok(())
    })?;
    workspace.session(machine, |session| {
        let kept = session.must("cat /workspace/kept")?;
        ensure!(kept == "kept\n", "after the stop the file holds {kept:?}");
        Ok(())
    })
}
