//! Bounds that are said to be enforced are, and the machine survives what runs into them.

use pyro_model::ExecState;
use pyro_protocol::{GuestMessage, HostMessage};

use super::{Fixture, Session, Verdict, ensure, session::PATIENCE};
use crate::{Enforcement, Machine};

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    let mut workspace = fixture.workspace(machine)?;
    workspace.spec.limits.memory_mib = 128;
    workspace.spec.limits.processes = 40;
    let started = machine.start(&workspace.spec)?;
    let checked = Session::new(started.stream)
        .and_then(|mut session| each(&started.enforcement, &mut session));
    machine.end(workspace.directory())?;
    checked
}

fn each(enforcement: &[Enforcement], session: &mut Session) -> Verdict {
    for limit in ["cpus", "memory_mib", "disk_mib", "processes"] {
        let rows = enforcement.iter().filter(|row| row.limit == limit).count();
        ensure!(rows == 1, "{limit} has {rows} rows");
    }
    let enforced = |limit: &str| enforcement.iter().any(|row| row.limit == limit && row.enforced);
    if enforced("memory_mib") {
        // Doubles a string until it is far over the bound.
        let eat = session.run("s=0123456789abcdef; while :; do s=$s$s; done")?;
        ensure!(
            eat.finished.state != ExecState::TimedOut && !eat.ok(),
            "a command over its memory ended as {:?}",
            eat.finished
        );
    }
    let forks = "i=0; while [ $i -lt 100 ]; do sleep 5 & i=$((i+1)); done 2>&1";
    let many = session.run(forks)?;
    if enforced("processes") {
        ensure!(!many.ok(), "a hundred processes fit into forty: {:?}", many.stdout);
    }
    // The forty still sleep, so that a command may find no room; the agent answers all the same.
    let status = session.guest.ask(HostMessage::Status, PATIENCE, None)?;
    ensure!(matches!(status, GuestMessage::Status(_)), "the agent answers {status:?}");
    Ok(())
}
