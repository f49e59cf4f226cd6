//! After `renew` nothing of before is there: no file, no process, no boot; and the old changes are
//! gone from the workspace's directory at once.

use super::{Fixture, Verdict, ensure};
use crate::Machine;

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    let workspace = fixture.workspace(machine)?;
    let mut before = [0; 16];
    workspace.session(machine, |session| {
        before = session.guest.boot();
        session.must(
            "echo x > /workspace/left; echo x > /tmp/left; echo x > /etc-left; chmod 0 /tmp/left; \
             mkdir -p /workspace/d/e/f; (sleep 1000 >/dev/null 2>&1 &)",
        )?;
        Ok(())
    })?;
    let trash = fixture.home.join("trash");
    machine.renew(workspace.directory(), &trash)?;
    ensure!(trash.is_dir(), "the old changes are in the trash");
    workspace.session(machine, |session| {
        let left = session.must(
            "ls -A /workspace /tmp | grep left; ls -d /etc-left 2>/dev/null; \
             grep -l sleep /proc/[0-9]*/comm 2>/dev/null; true",
        )?;
        ensure!(left.is_empty(), "after renewal there is {left:?}");
        ensure!(session.guest.boot() != before, "a new machine has a new boot");
        Ok(())
    })?;
    machine.discard(&[&trash])?;
    super::gone(&trash)
}
