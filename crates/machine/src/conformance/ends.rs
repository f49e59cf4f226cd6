//! `end` ends everything, with commands in full swing, and can be called again; then nobody answers.

use super::{Broken, Fixture, Verdict, ensure};
use crate::{Machine, MachineError};

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    let workspace = fixture.workspace(machine)?;
    machine.end(workspace.directory())?;
    workspace.session(machine, |session| {
        session.begin("trap '' TERM HUP; while :; do (setsid sleep 1000 &); sleep 0.1; done")?;
        machine.end(workspace.directory())?;
        ensure!(session.run("true").is_err(), "an ended machine answers");
        Ok(())
    })?;
    machine.end(workspace.directory())?;
    ensure!(!machine.is_running(workspace.directory())?, "an ended machine runs");
    match machine.connect(workspace.directory()) {
        Err(MachineError::NotRunning(_)) => Ok(()),
        other => Err(Broken(format!("connecting to an ended machine gave {other:?}"))),
    }
}
