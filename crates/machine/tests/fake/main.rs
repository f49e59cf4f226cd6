//! The fake machine: the guarantees that need no isolation, and its own promises.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::{collections::BTreeMap, fs, path::Path};

use pyro_machine::{
    Guest, Machine,
    conformance::{Broken, Fixture, SUITES, Verdict, check},
    fake::{FakeMachine, agent_program},
};
use pyro_protocol::{
    GuestMessage, HostMessage,
    files::{Content, Read, Unit, Write},
    upper::{AgainstSeed, UpperKind, UpperList},
};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Suites that write to the root or name `/workspace` absolutely: the fake has neither.
const NEED_A_ROOT: &[&str] =
    &["results", "durable", "fresh", "apart", "reuse", "stopped", "bounded", "patched"];

fn fixture(home: &Path) -> Fixture {
    Fixture { home: home.to_owned(), root_lowers: Vec::new(), binds: Vec::new() }
}

#[test]
fn what_needs_no_isolation_is_kept() {
    let machine = FakeMachine::new(agent_program().unwrap());
    let mut ran = 0;
    for (name, _) in SUITES.iter().filter(|suite| !NEED_A_ROOT.contains(&suite.0)) {
        let home = tempfile::tempdir().unwrap();
        if let Err(Broken(why)) = check(name, &machine, &fixture(home.path())) {
            panic!("{name}: {why}");
        }
        ran += 1;
    }
    assert!(ran >= 4);
}

fn talk(home: &Path, lowers: &[&Path], act: impl FnOnce(&mut Guest)) -> Verdict {
    let machine = FakeMachine::new(agent_program().unwrap());
    let mut workspace = fixture(home).workspace(&machine)?;
    workspace.spec.tree_lowers = lowers.iter().map(|path| path.to_path_buf()).collect();
    let started = machine.start(&workspace.spec)?;
    let mut guest = Guest::handshake(started.stream, PATIENCE)?;
    act(&mut guest);
    Ok(machine.end(workspace.directory())?)
}

#[test]
fn layers_show_through_and_changes_are_seen_against_them() {
    let home = tempfile::tempdir().unwrap();
    let fixture = fixture(home.path());
    let base = fixture.layer("base", &[("a", "base"), ("b", "base"), ("d/c", "base")]).unwrap();
    let delta = fixture.layer("delta", &[("b", "delta"), ("d/e", "delta")]).unwrap();
    talk(home.path(), &[&delta, &base], |guest| {
        let read = |guest: &mut Guest, path: &str| {
            let read = Read {
                path: path.to_owned(),
                unit: Unit::Bytes,
                offset: 0,
                limit: 100,
                max_bytes: 100,
            };
            match guest.ask(HostMessage::Read(read), PATIENCE, None).unwrap() {
                GuestMessage::Content(Content { bytes, .. }) => String::from_utf8(bytes).unwrap(),
                other => panic!("unexpected {other:?}"),
            }
        };
        for (path, content) in [("a", "base"), ("b", "delta"), ("d/c", "base"), ("d/e", "delta")] {
            assert_eq!(read(guest, path), content);
        }
        let write = Write { path: "a".into(), content: b"new".to_vec(), executable: None };
        guest.ask(HostMessage::Write(write), PATIENCE, None).unwrap();
        let list = UpperList { directories: vec![Vec::new()] };
        let call = guest.send(HostMessage::Upper(list)).unwrap();
        let GuestMessage::Upper(root) = guest.receive(call, None, None).unwrap() else { panic!() };
        assert!(root.opaque, "what is not there is gone");
        let entries: BTreeMap<_, _> =
            root.entries.into_iter().map(|entry| (entry.name, entry.now)).collect();
        let against = |name: &[u8]| match &entries[name] {
            UpperKind::File { against_seed, .. } => *against_seed,
            other => panic!("unexpected {other:?}"),
        };
        assert_eq!(against(b"a"), AgainstSeed::OtherContent);
        assert_eq!(against(b"b"), AgainstSeed::SameContent);
    })
    .unwrap();
    assert_eq!(fs::read_to_string(base.join("a")).unwrap(), "base");
}
