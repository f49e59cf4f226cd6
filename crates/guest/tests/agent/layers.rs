//! The raw upper layer beside the seed's, and packing of the merged view.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path, process::Command};

use pyro_machine::Guest;
use pyro_protocol::{
    GuestMessage, HostMessage, WINDOW,
    files::{EntryKind, Pack, PackEntry},
    message::RefusalKind,
    upper::{AgainstSeed, UpperKind, UpperList},
};

use crate::support::*;

/// All directories asked for: opaque or not, and their entries by name.
fn upper(guest: &mut Guest, paths: &[&str]) -> Vec<(bool, BTreeMap<String, UpperKind>)> {
    let directories = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
    let call = guest.send(HostMessage::Upper(UpperList { directories })).unwrap();
    let mut found: Vec<(Vec<u8>, bool, BTreeMap<String, UpperKind>)> = Vec::new();
    loop {
        match guest.receive(call, None, None).unwrap() {
            GuestMessage::Upper(directory) => {
                if found.last().is_none_or(|last| last.0 != directory.path) {
                    found.push((directory.path, directory.opaque, BTreeMap::new()));
                }
                let entries = &mut found.last_mut().unwrap().2;
                for entry in directory.entries {
                    entries.insert(String::from_utf8(entry.name).unwrap(), entry.now);
                }
            }
            GuestMessage::Done => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(found.len(), paths.len());
    found.into_iter().map(|(_, opaque, entries)| (opaque, entries)).collect()
}

fn against(kind: &UpperKind) -> AgainstSeed {
    match kind {
        UpperKind::File { against_seed, .. } | UpperKind::Link { against_seed, .. } => {
            *against_seed
        }
        other => panic!("unexpected {other:?}"),
    }
}

fn whiteout(path: &Path) -> bool {
    Command::new("mknod").arg(path).args(["c", "0", "0"]).status().unwrap().success()
}

fn mark(path: &Path, name: &str) {
    rustix::fs::setxattr(path, name, b"y", rustix::fs::XattrFlags::empty()).unwrap();
}

fn put(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn upper_entries_are_told_from_the_seeds() {
    let agent = Agent::start();
    let (up, low) = (agent.path("upper"), agent.path("lower0"));
    for name in ["same", "other", "longer", "gone", "was-file", "empty"] {
        put(&low.join(name), "content");
    }
    put(&low.join("empty"), "");
    put(&low.join("dir/inner"), "x");
    symlink("target", low.join("link")).unwrap();
    symlink("target", low.join("relinked")).unwrap();
    put(&up.join("same"), "content");
    put(&up.join("other"), "CONTENT");
    put(&up.join("longer"), "content and more");
    put(&up.join("new"), "n");
    put(&up.join("empty"), "");
    put(&up.join("dir/added"), "x");
    fs::create_dir(up.join("was-file")).unwrap();
    symlink("target", up.join("link")).unwrap();
    symlink("elsewhere", up.join("relinked")).unwrap();
    symlink("x", up.join("other-link")).unwrap();
    put(&up.join("gone-by-mark"), "");
    mark(&up.join("gone-by-mark"), "user.overlay.whiteout");
    let made = whiteout(&up.join("gone"));
    let mut guest = agent.connect();
    let mut found = upper(&mut guest, &["", "dir", "never-touched"]);
    assert!(found.iter().all(|directory| !directory.0));
    assert!(found.pop().unwrap().1.is_empty());
    assert_eq!(against(&found.pop().unwrap().1["added"]), AgainstSeed::Absent);
    let root = found.pop().unwrap().1;
    for (name, expected) in [
        ("same", AgainstSeed::SameContent),
        ("other", AgainstSeed::OtherContent),
        ("longer", AgainstSeed::OtherContent),
        ("new", AgainstSeed::Absent),
        ("empty", AgainstSeed::SameContent),
        ("link", AgainstSeed::SameContent),
        ("relinked", AgainstSeed::OtherContent),
        ("other-link", AgainstSeed::Absent),
    ] {
        assert_eq!(against(&root[name]), expected, "{name}");
    }
    assert!(matches!(root["dir"], UpperKind::Directory { seeded: true, .. }));
    assert!(matches!(root["was-file"], UpperKind::Directory { seeded: false, .. }));
    assert_eq!(root["gone-by-mark"], UpperKind::Whiteout);
    if made {
        assert_eq!(root["gone"], UpperKind::Whiteout);
    }
}

#[test]
fn the_seed_is_a_stack_whose_layers_hide_each_other() {
    let agent = Agent::with(&Options { lowers: 2, ..Options::default() });
    let (up, delta, base) = (agent.path("upper"), agent.path("lower0"), agent.path("lower1"));
    put(&base.join("d/in-base"), "base");
    put(&base.join("d/changed"), "base");
    put(&base.join("opaque/in-base"), "base");
    put(&base.join("retyped/in-base"), "base");
    put(&delta.join("d/changed"), "delta");
    put(&delta.join("opaque/in-delta"), "delta");
    mark(&delta.join("opaque"), "user.overlay.opaque");
    put(&delta.join("retyped"), "now a file");
    put(&base.join("d/removed"), "base");
    put(&delta.join("d/removed"), "");
    mark(&delta.join("d/removed"), "user.overlay.whiteout");
    for path in ["d/in-base", "d/changed", "d/removed", "opaque/in-base", "opaque/in-delta"] {
        put(&up.join(path), if path.ends_with("changed") { "delta" } else { "base" });
    }
    put(&up.join("retyped/in-base"), "base");
    let mut guest = agent.connect();
    let found = upper(&mut guest, &["d", "opaque", "retyped", ""]);
    assert_eq!(against(&found[0].1["in-base"]), AgainstSeed::SameContent);
    assert_eq!(against(&found[0].1["changed"]), AgainstSeed::SameContent);
    assert_eq!(against(&found[0].1["removed"]), AgainstSeed::Absent);
    assert_eq!(against(&found[1].1["in-base"]), AgainstSeed::Absent);
    assert_eq!(against(&found[1].1["in-delta"]), AgainstSeed::OtherContent);
    assert_eq!(against(&found[2].1["in-base"]), AgainstSeed::Absent);
    assert!(matches!(found[3].1["retyped"], UpperKind::Directory { seeded: false, .. }));
}

#[test]
fn opaque_goes_down_and_content_is_still_compared() {
    let agent = Agent::start();
    let (up, low) = (agent.path("upper"), agent.path("lower0"));
    put(&low.join("d/e/kept"), "same");
    put(&low.join("d/e/lost"), "same");
    put(&up.join("d/e/kept"), "same");
    mark(&up.join("d"), "user.overlay.opaque");
    let found = upper(&mut agent.connect(), &["d", "d/e"]);
    assert!(found[0].0 && found[1].0);
    assert_eq!(against(&found[1].1["kept"]), AgainstSeed::SameContent);
}

#[test]
fn hostile_lists_are_refused_and_links_in_layers_lead_nowhere() {
    let agent = Agent::start();
    fs::create_dir(agent.path("outside")).unwrap();
    put(&agent.path("outside/secret"), "x");
    symlink(agent.path("outside"), agent.path("upper/away")).unwrap();
    symlink(agent.path("outside"), agent.path("lower0/d")).unwrap();
    put(&agent.path("upper/d/secret"), "x");
    let mut guest = agent.connect();
    let found = upper(&mut guest, &["away", "d"]);
    assert!(found[0].1.is_empty(), "a link in the upper layer is no directory of it");
    assert_eq!(against(&found[1].1["secret"]), AgainstSeed::Absent);
    let mut refuse = |directories: Vec<Vec<u8>>| {
        refused(&mut guest, HostMessage::Upper(UpperList { directories })).0
    };
    assert_eq!(refuse(vec![b"../outside".to_vec()]), RefusalKind::PathEscapes);
    assert_eq!(refuse(vec![b"/etc".to_vec()]), RefusalKind::PathEscapes);
    assert_eq!(refuse(vec![Vec::new(); 10_001]), RefusalKind::TooLarge);
}

#[test]
fn a_long_directory_comes_in_pieces() {
    let agent = Agent::start();
    for number in 0..8_000 {
        let name = format!("upper/{number:0>200}");
        fs::write(agent.path(&name), "").unwrap();
    }
    let found = upper(&mut agent.connect(), &[""]);
    assert_eq!(found[0].1.len(), 8_000);
}

#[test]
fn a_real_overlay_is_read_as_the_kernel_writes_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to mount an overlay");
        return;
    }
    let options = Options { lowers: 2, overlay: true, ..Options::default() };
    let folder = tempfile::tempdir().unwrap();
    for name in ["workspace", "spool", "upper", "lower0", "lower1"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let base = folder.path().join("lower1");
    for name in ["touched", "edited", "removed", "moved/a", "moved/b", "cleared/x", "left"] {
        put(&base.join(name), "seed\n");
    }
    put(&folder.path().join("lower0/edited"), "delta\n");
    let agent = Agent::over(folder, &options);
    until("it listens", || std::os::unix::net::UnixStream::connect(agent.path("sock")).is_ok());
    let mut guest = agent.connect();
    let line = "set -e; touch touched; echo more >> edited; rm removed; mv moved x; mv x moved; \
                rm moved/b; rm -r cleared; mkdir cleared; echo y > cleared/y; echo n > new; cat edited";
    let said = run(&mut guest, shell(line));
    assert_eq!(said.text(), "delta\nmore\n", "{}", String::from_utf8_lossy(&said.stderr));
    let found = upper(&mut guest, &["", "moved", "cleared"]);
    let root = &found[0].1;
    assert_eq!(against(&root["touched"]), AgainstSeed::SameContent);
    assert_eq!(against(&root["edited"]), AgainstSeed::OtherContent);
    assert_eq!(root["removed"], UpperKind::Whiteout);
    assert_eq!(against(&root["new"]), AgainstSeed::Absent);
    assert!(!root.contains_key("left"));
    assert!(found[1].0, "a directory that came back is opaque");
    assert_eq!(against(&found[1].1["a"]), AgainstSeed::SameContent);
    assert!(!found[1].1.contains_key("b"));
    assert!(found[2].0);
    assert_eq!(against(&found[2].1["y"]), AgainstSeed::Absent);
}

fn pack(paths: &[&str]) -> Pack {
    Pack {
        paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
        recursive: true,
        max_bytes: 64 << 20,
        max_entries: 1_000,
    }
}

type Packed = Vec<(PackEntry, Vec<u8>)>;

fn packed(guest: &mut Guest, pack: Pack) -> Result<Packed, RefusalKind> {
    let call = guest.send(HostMessage::Pack(pack)).unwrap();
    let mut all: Packed = Vec::new();
    loop {
        match guest.receive(call, None, None).unwrap() {
            GuestMessage::Entry(entry) => all.push((entry, Vec::new())),
            GuestMessage::Chunk { bytes } => {
                let count = bytes.len() as u32;
                all.last_mut().unwrap().1.extend(bytes);
                guest.send_on(call, HostMessage::Credit { bytes: count }).unwrap();
            }
            GuestMessage::Done => break,
            GuestMessage::Failed(refusal) => return Err(refusal.kind),
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(all.iter().all(|(entry, bytes)| entry.bytes == bytes.len() as u64));
    Ok(all)
}

#[test]
fn a_pack_holds_everything_in_order() {
    let agent = Agent::start();
    let workspace = agent.path("workspace");
    put(&workspace.join("d/b"), &"b".repeat(3_000_000));
    put(&workspace.join("d/a"), "a");
    put(&workspace.join("d/sub/deep"), "deep");
    put(&workspace.join("top"), "");
    symlink("/etc/passwd", workspace.join("d/link")).unwrap();
    fs::hard_link(workspace.join("d/a"), workspace.join("d/hard")).unwrap();
    let mut guest = agent.connect();
    run(&mut guest, words(&["mkfifo", "d/pipe"]));
    let all = packed(&mut guest, pack(&["top", "d"])).unwrap();
    let shape: Vec<(String, EntryKind)> = all
        .iter()
        .map(|(entry, _)| (String::from_utf8(entry.path.clone()).unwrap(), entry.kind))
        .collect();
    let expected = [
        ("top", EntryKind::File),
        ("d", EntryKind::Directory),
        ("d/a", EntryKind::File),
        ("d/b", EntryKind::File),
        ("d/hard", EntryKind::File),
        ("d/link", EntryKind::Link),
        ("d/pipe", EntryKind::Other),
        ("d/sub", EntryKind::Directory),
        ("d/sub/deep", EntryKind::File),
    ];
    assert_eq!(shape, expected.map(|(path, kind)| (path.to_owned(), kind)));
    assert_eq!(all[3].1, "b".repeat(3_000_000).into_bytes());
    assert_eq!((&all[4].1[..], all[5].0.target.as_deref()), (&b"a"[..], Some(&b"/etc/passwd"[..])));
    let shallow = packed(&mut guest, Pack { recursive: false, ..pack(&["d"]) }).unwrap();
    assert_eq!(shallow.len(), 1);
    let whole = packed(&mut guest, pack(&[""])).unwrap();
    assert_eq!((whole.len(), &whole[0].0.path[..]), (10, &b""[..]));
    let bounds = [
        (Pack { max_bytes: 100, ..pack(&["d"]) }, RefusalKind::TooLarge),
        (Pack { max_entries: 3, ..pack(&["d"]) }, RefusalKind::TooLarge),
        (pack(&["nothing"]), RefusalKind::NotFound),
        (pack(&["../spool"]), RefusalKind::PathEscapes),
        (pack(&["d/link/x"]), RefusalKind::PathEscapes),
    ];
    for (pack, kind) in bounds {
        assert_eq!(packed(&mut guest, pack.clone()).unwrap_err(), kind, "{pack:?}");
    }
}

#[test]
fn a_pack_waits_for_credit_and_pads_what_shrinks() {
    let agent = Agent::start();
    let file = agent.path("workspace/f");
    fs::write(&file, vec![1; 2 << 20]).unwrap();
    let mut guest = agent.connect();
    let call = guest.send(HostMessage::Pack(pack(&["f"]))).unwrap();
    let mut got = Vec::new();
    while got.len() < WINDOW as usize {
        if let GuestMessage::Chunk { bytes } = guest.receive(call, None, None).unwrap() {
            got.extend(bytes);
        }
    }
    assert_eq!(got.len(), WINDOW as usize);
    let soon = std::time::Instant::now() + std::time::Duration::from_millis(200);
    assert!(guest.receive(call, Some(soon), None).is_err());
    fs::write(&file, b"short").unwrap();
    guest.send_on(call, HostMessage::Credit { bytes: u32::MAX }).unwrap();
    loop {
        match guest.receive(call, None, None).unwrap() {
            GuestMessage::Chunk { bytes } => got.extend(bytes),
            GuestMessage::Done => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(got.len(), 2 << 20);
    assert!(got[WINDOW as usize..].iter().all(|byte| *byte == 0));
}
