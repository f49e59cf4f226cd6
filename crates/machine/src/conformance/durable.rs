//! A command outlives the connection that started it, and its result waits for whoever asks next.

use pyro_model::ExecState;

use super::{Fixture, Session, Verdict, ensure};
use crate::Machine;

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    let workspace = fixture.workspace(machine)?;
    workspace.session(machine, |session| {
        // Starts to wait for a file that only the second client makes.
        let line = "until [ -e /tmp/go ]; do sleep 0.05; done; echo still here; exit 3";
        let exec = {
            let mut first = Session::new(machine.connect(workspace.directory())?)?;
            first.begin(line)?
        };
        session.must("touch /tmp/go")?;
        let output = session.attach(exec)?;
        ensure!(
            output.finished.state == ExecState::Exited && output.finished.exit_code == Some(3),
            "the command ended as {:?}",
            output.finished
        );
        ensure!(output.stdout == "still here\n", "it wrote {:?}", output.stdout);
        Ok(())
    })
}
