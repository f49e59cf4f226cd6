//! One directory, one machine: a second start is refused and harms nothing.

use super::{Broken, Fixture, Verdict, ensure};
use crate::{Machine, MachineError};

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    let workspace = fixture.workspace(machine)?;
    ensure!(!machine.is_running(workspace.directory())?, "nothing runs before the start");
    workspace.session(machine, |session| {
        ensure!(machine.is_running(workspace.directory())?, "it runs after the start");
        match machine.start(&workspace.spec) {
            Err(MachineError::Busy(_)) => {}
            other => return Err(Broken(format!("a second start gave {other:?}"))),
        }
        session.must("true")?;
        Ok(())
    })?;
    ensure!(!machine.is_running(workspace.directory())?, "nothing runs after the end");
    Ok(())
}
