//! Two clients use one machine at once; neither waits for the other.

use super::{Fixture, Session, Verdict, ensure};
use crate::Machine;

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    let workspace = fixture.workspace(machine)?;
    workspace.session(machine, |one| {
        let mut other = Session::new(machine.connect(workspace.directory())?)?;
        let waiting = one.begin("until [ -e /tmp/b ]; do sleep 0.05; done; echo one > /tmp/a")?;
        ensure!(other.must("echo hi; touch /tmp/b")? == "hi\n", "the second client hears itself");
        one.attach(waiting)?;
        ensure!(other.must("cat /tmp/a")? == "one\n", "both see the same files");
        ensure!(one.guest.boot() == other.guest.boot(), "both are told the same boot");
        Ok(())
    })
}
