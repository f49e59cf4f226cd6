//! A patch is applied as a whole or not at all, also when the machine is ended in the middle of
//! it, without a chance to write anything.

use std::time::Duration;

use pyro_protocol::{
    GuestMessage, HostMessage,
    patch::{Action, Body, FilePatch, Hunk, Line, LineKind, Patch},
};

use super::{Broken, Fixture, Session, Verdict, ensure, session::PATIENCE};
use crate::Machine;

/// Files that the patch changes, and as many that it makes and that it deletes.
const FILES: usize = 40;

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    let workspace = fixture.workspace(machine)?;
    workspace.session(machine, |session| {
        session.must(&format!(
            "cd /workspace; mkdir p; for n in $(seq {FILES}); do echo old >p/m$n; echo old >p/d$n; done; sync"
        ))?;
        let mut wrong = patch();
        wrong.files.push(file("p/d1", Action::Modify, "not there", "new"));
        match ask(session, wrong)? {
            GuestMessage::PatchConflict(conflict) => {
                ensure!(conflict.path == "p/d1", "the conflict is in {}", conflict.path);
            }
            other => return Err(Broken(format!("a patch that does not fit gave {other:?}"))),
        }
        ensure!(state(session)? == State::Before, "a conflict changed something");
        Ok(())
    })?;
    for pause in [0, 3, 10, 30, 100] {
        let mut session = Session::new(machine.start(&workspace.spec)?.stream)?;
        let before = state(&mut session)?;
        if before == State::Before {
            session.guest.send(HostMessage::Patch(patch()))?;
            std::thread::sleep(Duration::from_millis(pause));
        }
        drop(machine.begin_end(workspace.directory())?);
        machine.end(workspace.directory())?;
    }
    workspace.session(machine, |session| {
        if state(session)? == State::Before {
            match ask(session, patch())? {
                GuestMessage::Patched(patched) => {
                    ensure!(patched.files.len() == 3 * FILES, "{} files", patched.files.len());
                }
                other => return Err(Broken(format!("a patch that fits gave {other:?}"))),
            }
        }
        ensure!(state(session)? == State::After, "the patch is not applied");
        Ok(())
    })
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Before,
    After,
}

/// What the tree shows: all of the patch, or nothing of it.
fn state(session: &mut Session) -> Result<State, Broken> {
    let line = "cd /workspace/p; grep -l old * | wc -l; grep -l new * | wc -l; ls -A | wc -l; ls -A .. | wc -l";
    let seen = session.must(line)?;
    let seen: Vec<usize> = seen.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if seen == [2 * FILES, 0, 2 * FILES, 1] {
        Ok(State::Before)
    } else if seen == [0, 2 * FILES, 2 * FILES, 1] {
        Ok(State::After)
    } else {
        Err(Broken(format!("half a patch: {seen:?}")))
    }
}

fn ask(session: &mut Session, patch: Patch) -> Result<GuestMessage, Broken> {
    Ok(session.guest.ask(HostMessage::Patch(patch), PATIENCE, None)?)
}

fn patch() -> Patch {
    let files = (1..=FILES).flat_map(|number| {
        [
            file(&format!("p/m{number}"), Action::Modify, "old", "new"),
            file(&format!("p/n{number}"), Action::Create, "", "new"),
            file(&format!("p/d{number}"), Action::Delete, "old", ""),
        ]
    });
    Patch { files: files.collect() }
}

fn file(path: &str, action: Action, old: &str, new: &str) -> FilePatch {
    let line = |kind, text: &str| Line { kind, text: text.to_owned() };
    let lines = [line(LineKind::Removed, old), line(LineKind::Added, new)];
    let lines = lines.into_iter().filter(|line| !line.text.is_empty()).collect();
    FilePatch {
        path: path.to_owned(),
        from: None,
        copy: false,
        action,
        mode: None,
        body: Body::Hunks(vec![Hunk { line: 1, lines, ..Hunk::default() }]),
    }
}
