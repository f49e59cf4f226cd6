//! A machine starts again on the changes of the one before, also of one that was killed, as often
//! as one likes; changes in memory are gone instead.

use super::{Fixture, Verdict, ensure};
use crate::{Machine, Writable};

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    let mut workspace = fixture.workspace(machine)?;
    for round in 0..3 {
        workspace.session(machine, |session| {
            let seen = session.must("cat /workspace/log /var/log/mine 2>/dev/null | wc -l")?;
            ensure!(seen.trim() == (2 * round).to_string(), "round {round} sees {seen:?} lines");
            session.must(
                "mkdir -p /var/log; echo x >> /workspace/log; echo x >> /var/log/mine; \
                 rm -rf /workspace/d; mkdir /workspace/d; echo y > /workspace/d/y",
            )?;
            Ok(())
        })?;
    }
    let mut memory = fixture.workspace(machine)?;
    memory.spec.writable = Writable::Memory;
    memory.session(machine, |session| {
        session.must(
            "echo x > /workspace/x; mkdir /workspace/d; rmdir /workspace/d; mkdir /workspace/d",
        )?;
        Ok(())
    })?;
    workspace.spec.inspect_only = true;
    workspace.session(machine, |session| {
        ensure!(session.run("true").is_err(), "a machine for inspection runs no commands");
        Ok(())
    })
}
