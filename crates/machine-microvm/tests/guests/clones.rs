//! Clones of one template share its memory, and nothing that must be a machine's own.

use std::collections::BTreeSet;

use pyro_machine::{Machine, conformance::Session};

use crate::support::with_home;

#[test]
fn two_clones_agree_on_nothing() {
    with_home(|home| {
        let mut seen = Vec::new();
        let mut alive = Vec::new();
        for name in ["first", "second", "third"] {
            let mut workspace = home.fixture.workspace(&home.machine).unwrap();
            workspace.spec.hostname = name.to_owned();
            for layer in &workspace.spec.root_lowers {
                home.machine.prepare_layer(layer).unwrap();
            }
            let started = home.machine.start(&workspace.spec).unwrap();
            let mut session = Session::new(started.stream).unwrap();
            let line = "head -c16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/boot_id; \
                        cat /etc/machine-id; hostname; \
                        python3 -c 'import uuid, os; print(uuid.uuid4()); print(os.urandom(8).hex())'";
            seen.push(session.must(line).unwrap());
            alive.push((workspace, session));
        }
        for line in 0..6 {
            let values: BTreeSet<_> =
                seen.iter().map(|text| text.lines().nth(line).unwrap().to_owned()).collect();
            assert_eq!(values.len(), seen.len(), "line {line} is the same in two clones: {seen:?}");
        }
        let ids: Vec<&str> = seen[0].lines().collect();
        assert_eq!(ids[2].len(), 32, "/etc/machine-id: {ids:?}");
        assert_eq!(ids[3], "first");
        for (workspace, session) in alive {
            drop(session);
            home.machine.end(workspace.directory()).unwrap();
        }
    });
}

#[test]
fn a_workspace_keeps_its_machine_id_and_changes_its_boot_id() {
    with_home(|home| {
        let workspace = home.fixture.workspace(&home.machine).unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            workspace
                .session(&home.machine, |session| {
                    let line = "cat /etc/machine-id /proc/sys/kernel/random/boot_id";
                    seen.push(session.must(line)?);
                    Ok(())
                })
                .unwrap();
        }
        let lines: Vec<Vec<&str>> = seen.iter().map(|text| text.lines().collect()).collect();
        assert_eq!(lines[0][0], lines[1][0]);
        assert_ne!(lines[0][1], lines[1][1]);
    });
}
