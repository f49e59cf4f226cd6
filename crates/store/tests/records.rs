//! Records survive what they are given, and two processes' worth of connections agree.

#![expect(clippy::unwrap_used, reason = "tests")]

use pyro_model::{ExecId, ExecState, Isolation, Labels, MachineKind, Timestamp, WorkspaceId};
use pyro_store::{
    Event, EventKind, ExecRecord, Found, Import, Layout, MachineNote, OperationLock, Phase, Record,
    RunSpec, Store, StoreError,
};

fn store(folder: &tempfile::TempDir) -> Store {
    Store::open(Layout::new(folder.path().join("home"))).unwrap()
}

fn record(seed: u8, name: Option<&str>) -> Record {
    Record {
        id: WorkspaceId::from_random([seed; 8]),
        name: name.map(|name| name.parse().unwrap()),
        labels: Labels::from([("a".parse().unwrap(), "b c".parse().unwrap())]),
        phase: Phase::Live,
        ephemeral: false,
        machine: MachineKind::Container,
        isolation: Isolation::Container,
        environment: "host".to_owned(),
        environment_digest: Some("sha256:x".to_owned()),
        run: RunSpec {
            root_lowers: vec!["/a".into()],
            tree_lowers: vec!["/b".into()],
            binds: vec![],
            also_at: Some("/home/u/project".into()),
            variables: vec![("PATH".to_owned(), "/bin".to_owned())],
            cpus: 1,
            memory_mib: 512,
            disk_mib: None,
        },
        seed_key: Some("key".to_owned()),
        seed: serde_json::json!({"files": 3}),
        not_enforced: serde_json::json!([]),
        network: "off".to_owned(),
        idle_ttl_s: 5,
        created_at: Timestamp(1),
        last_activity_at: Timestamp(u64::from(seed)),
        generation: 0,
        changed_files: None,
        patch_sha256: None,
        exported_sha256: None,
        spool_offset: 0,
        state_reason: None,
    }
}

fn one(found: Found) -> Record {
    match found {
        Found::One(record) => *record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_comes_back_as_it_was_by_id_name_and_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    let first = record(1, Some("fix"));
    store.insert(&first, 10).unwrap();
    store.insert(&record(2, None), 10).unwrap();
    let other = self::store(&folder);
    assert_eq!(one(other.find("fix").unwrap()), first);
    assert_eq!(one(other.find(first.id.as_str()).unwrap()), first);
    assert_eq!(one(other.find(&first.id.as_str()[..8]).unwrap()), first);
    assert!(matches!(other.find("ws_ab").unwrap(), Found::Nothing), "a prefix needs 4 characters");
    assert!(matches!(other.find("ws_%%%%").unwrap(), Found::Nothing));
    assert!(matches!(other.find("ws_****").unwrap(), Found::Nothing));
    assert_eq!(other.all().unwrap()[0].id, record(2, None).id, "newest activity first");
}

#[test]
fn a_prefix_that_fits_two_is_said_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    let mut ids = Vec::new();
    for last in [b'2', b'3'] {
        let mut r = record(1, None);
        r.id = format!("ws_aaaaaaaaa{}", char::from(last)).parse().unwrap();
        ids.push(r.id.clone());
        store.insert(&r, 10).unwrap();
    }
    match store.find("ws_aaaa").unwrap() {
        Found::Several(found) => assert_eq!(found.len(), 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_are_unique_and_the_count_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    store.insert(&record(1, Some("fix")), 2).unwrap();
    assert!(matches!(store.insert(&record(2, Some("fix")), 2), Err(StoreError::NameTaken { .. })));
    store.insert(&record(2, None), 2).unwrap();
    assert!(matches!(
        store.insert(&record(3, None), 2),
        Err(StoreError::TooMany { count: 2, most: 2 })
    ));
    let mut second = record(2, Some("fix"));
    let event = Event::now(EventKind::Updated, serde_json::json!({}));
    assert!(matches!(store.update_names(&second, &event), Err(StoreError::NameTaken { .. })));
    second.name = Some("other".parse().unwrap());
    store.update_names(&second, &event).unwrap();
    assert_eq!(one(store.find("other").unwrap()).id, second.id);
}

#[test]
fn an_import_is_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (store(&folder), store(&folder));
    let workspace = record(1, None);
    a.insert(&workspace, 10).unwrap();
    let exec = ExecRecord {
        id: ExecId::from_random([9; 8]),
        command: "true".to_owned(),
        cwd: "/workspace".to_owned(),
        state: ExecState::Running,
        exit_code: None,
        signal: None,
        started_at: Timestamp(5),
        duration_ms: None,
        stdout_bytes: 0,
        stderr_bytes: 0,
    };
    let import = Import { from: 0, to: 50, execs: vec![exec.clone()], ..Import::default() };
    assert!(a.import(&workspace.id, &import).unwrap());
    assert!(!b.import(&workspace.id, &import).unwrap(), "another door was first");
    assert_eq!(b.running(&workspace.id).unwrap(), [exec.id.as_str()]);
    let ended = ExecRecord { state: ExecState::Exited, exit_code: Some(3), ..exec.clone() };
    let import = Import { from: 50, to: 90, execs: vec![ended.clone()], ..Import::default() };
    assert!(b.import(&workspace.id, &import).unwrap());
    assert_eq!(a.exec(&workspace.id, &exec.id).unwrap(), Some(ended));
    let lost = Import { from: 90, to: 91, lost_before: Some(Timestamp(9)), ..Import::default() };
    assert!(a.import(&workspace.id, &lost).unwrap());
    assert_eq!(a.exec(&workspace.id, &exec.id).unwrap().unwrap().state, ExecState::Exited);
}

#[test]
fn the_agent_of_one_workspace_cannot_rewrite_a_command_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    let (mine, other) = (record(1, None), record(2, None));
    store.insert(&mine, 10).unwrap();
    store.insert(&other, 10).unwrap();
    let exec = ExecRecord {
        id: ExecId::from_random([9; 8]),
        command: "make test".to_owned(),
        cwd: "/workspace".to_owned(),
        state: ExecState::Exited,
        exit_code: Some(1),
        signal: None,
        started_at: Timestamp(5),
        duration_ms: Some(3),
        stdout_bytes: 0,
        stderr_bytes: 0,
    };
    let import = Import { from: 0, to: 50, execs: vec![exec.clone()], ..Import::default() };
    assert!(store.import(&mine.id, &import).unwrap());
    let forged = ExecRecord { exit_code: Some(0), ..exec.clone() };
    let import = Import { from: 0, to: 50, execs: vec![forged], ..Import::default() };
    assert!(store.import(&other.id, &import).unwrap());
    assert_eq!(store.exec(&mine.id, &exec.id).unwrap(), Some(exec));
}

#[test]
fn a_reset_that_died_is_begun_again_with_the_same_generation() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    let workspace = record(1, None);
    store.insert(&workspace, 10).unwrap();
    assert_eq!(store.begin_reset(&workspace.id).unwrap(), 1);
    assert_eq!(store.begin_reset(&workspace.id).unwrap(), 1);
    assert_eq!(store.in_change().unwrap().len(), 1);
    store.end_reset(&workspace.id, &Event::now(EventKind::Reset, serde_json::json!({}))).unwrap();
    assert!(store.in_change().unwrap().is_empty());
    assert_eq!(store.begin_reset(&workspace.id).unwrap(), 2);
    assert_eq!(store.last_events(&workspace.id, 5).unwrap()[0].0, "reset");
}

#[test]
fn the_operation_lock_is_held_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let id = WorkspaceId::from_random([1; 8]);
    let lock = OperationLock::try_take(store.layout(), &id).unwrap();
    assert!(lock.is_some());
    assert!(OperationLock::try_take(store.layout(), &id).unwrap().is_none());
    drop(lock);
    assert!(OperationLock::try_take(store.layout(), &id).unwrap().is_some());
}

#[test]
fn the_reason_of_a_machines_end_stays_until_it_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder);
    let record = record(1, None);
    store.insert(&record, 9).unwrap();
    let import = |from, machine| Import { from, to: from + 1, machine, ..Import::default() };
    let reason = |store: &Store| store.get(&record.id).unwrap().unwrap().state_reason;
    let ended = Some(MachineNote::EndedFor("its kernel panicked".to_owned()));
    assert!(store.import(&record.id, &import(0, ended)).unwrap());
    assert_eq!(reason(&store).as_deref(), Some("its kernel panicked"));
    assert!(store.import(&record.id, &import(1, None)).unwrap());
    assert!(reason(&store).is_some());
    assert!(store.import(&record.id, &import(2, Some(MachineNote::Well))).unwrap());
    assert_eq!(reason(&store), None);
    store
        .note_machine(&record.id, Isolation::MicrovmKvm, &serde_json::json!([{"limit": "cpus"}]))
        .unwrap();
    let now = store.get(&record.id).unwrap().unwrap();
    assert_eq!(now.isolation, Isolation::MicrovmKvm);
    assert_eq!(now.not_enforced[0]["limit"], "cpus");
}
