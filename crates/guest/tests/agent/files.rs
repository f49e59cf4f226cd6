//! Files below the workspace, and what must not be reached from there.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use pyro_machine::Guest;
use pyro_protocol::{
    GuestMessage, HostMessage,
    files::{Content, Edit, Edited, EntryKind, List, Listed, Read, Unit, Write, Written},
    message::RefusalKind,
};
use sha2::{Digest, Sha256};

use crate::support::*;

fn list(path: &str, depth: u32) -> List {
    List { path: path.to_owned(), depth, glob: None, limit: 1_000 }
}

fn listed(guest: &mut Guest, list: List) -> Listed {
    match ask(guest, HostMessage::List(list)) {
        GuestMessage::Listed(listed) => listed,
        other => panic!("unexpected {other:?}"),
    }
}

fn paths(guest: &mut Guest, list: List) -> Vec<String> {
    listed(guest, list).entries.into_iter().map(|entry| entry.path).collect()
}

fn lines(path: &str) -> Read {
    Read { path: path.to_owned(), unit: Unit::Lines, offset: 0, limit: 2_000, max_bytes: 30_000 }
}

fn content(guest: &mut Guest, read: Read) -> Content {
    match ask(guest, HostMessage::Read(read)) {
        GuestMessage::Content(content) => content,
        other => panic!("unexpected {other:?}"),
    }
}

fn write(path: &str, content: &[u8]) -> Write {
    Write { path: path.to_owned(), content: content.to_vec(), executable: None }
}

fn written(guest: &mut Guest, write: Write) -> Written {
    match ask(guest, HostMessage::Write(write)) {
        GuestMessage::Written(written) => written,
        other => panic!("unexpected {other:?}"),
    }
}

fn edit(path: &str, old: &str, new: &str) -> Edit {
    Edit { path: path.to_owned(), old: old.to_owned(), new: new.to_owned(), all: false }
}

#[test]
fn a_listing_is_depth_first_in_byte_order() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    for path in ["a/b/c", "a/Z", "z"] {
        let path = agent.path("workspace").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "12345").unwrap();
    }
    symlink("a/b", agent.path("workspace/l")).unwrap();
    assert_eq!(paths(&mut guest, list("", 1)), ["a", "l", "z"]);
    assert_eq!(paths(&mut guest, list("", 9)), ["a", "a/Z", "a/b", "a/b/c", "l", "z"]);
    assert_eq!(paths(&mut guest, list("a", 1)), ["a/Z", "a/b"]);
    assert_eq!(paths(&mut guest, list("l", 1)), ["l/c"], "named itself, a link is followed");
    let one = listed(&mut guest, list("z", 1)).entries;
    assert_eq!((&one[0].path[..], one[0].bytes, one[0].kind), ("z", 5, EntryKind::File));
    let link = &listed(&mut guest, list("", 1)).entries[1];
    assert_eq!((link.kind, link.target.as_deref()), (EntryKind::Link, Some("a/b")));
    let glob = List { glob: Some("**/*b*".to_owned()), ..list("", 9) };
    assert_eq!(paths(&mut guest, glob), ["a/b"]);
    let glob = List { glob: Some("a/**".to_owned()), ..list("", 9) };
    assert_eq!(paths(&mut guest, glob), ["a/Z", "a/b", "a/b/c"]);
    let few = listed(&mut guest, List { limit: 2, ..list("", 9) });
    assert_eq!((few.entries.len(), few.truncated), (2, true));
    assert!(!listed(&mut guest, list("", 9)).truncated);
    let bad = List { glob: Some("[".to_owned()), ..list("", 9) };
    assert_eq!(refused(&mut guest, HostMessage::List(bad)).0, RefusalKind::Invalid);
    assert_eq!(refused(&mut guest, HostMessage::List(list("no", 1))).0, RefusalKind::NotFound);
}

#[test]
fn a_listing_shows_fifos_and_names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let agent = Agent::start();
    let mut guest = agent.connect();
    run(&mut guest, words(&["mkfifo", "pipe"]));
    let name = std::ffi::OsStr::from_bytes(b"b\xff");
    fs::write(agent.path("workspace").join(name), "").unwrap();
    let entries = listed(&mut guest, list("", 1)).entries;
    assert_eq!(entries[0].path, "b\u{fffd}");
    assert_eq!(entries[1].kind, EntryKind::Other);
    // And none of them is opened for reading.
    let (kind, _) = refused(&mut guest, HostMessage::Read(lines("pipe")));
    assert_eq!(kind, RefusalKind::WrongType);
    let (kind, _) = refused(&mut guest, HostMessage::Write(write("pipe", b"x")));
    assert_eq!(kind, RefusalKind::WrongType);
}

#[test]
fn a_read_gives_the_part_and_the_whole_files_hash() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let text: String = (1..=5_000).map(|number| format!("line {number}\n")).collect();
    fs::write(agent.path("workspace/t"), &text).unwrap();
    let got = content(&mut guest, Read { offset: 10, limit: 2, ..lines("t") });
    assert_eq!(got.bytes, b"line 11\nline 12\n");
    assert_eq!((got.total_lines, got.next_offset), (5_000, Some(12)));
    assert_eq!(got.total_bytes, text.len() as u64);
    assert_eq!(got.sha256, <[u8; 32]>::from(Sha256::digest(&text)));
    let got = content(&mut guest, Read { offset: 4_999, ..lines("t") });
    assert_eq!((&got.bytes[..], got.next_offset), (&b"line 5000\n"[..], None));
    fs::write(agent.path("workspace/b"), b"a\xff\xfe\n").unwrap();
    assert_eq!(refused(&mut guest, HostMessage::Read(lines("b"))).0, RefusalKind::NotText);
    let got = content(&mut guest, Read { unit: Unit::Bytes, offset: 1, ..lines("b") });
    assert_eq!((&got.bytes[..], got.next_offset), (&b"\xff\xfe\n"[..], None));
    assert_eq!(refused(&mut guest, HostMessage::Read(lines(""))).0, RefusalKind::WrongType);
    let huge = fs::File::create(agent.path("workspace/huge")).unwrap();
    huge.set_len((1 << 30) + 1).unwrap();
    assert_eq!(refused(&mut guest, HostMessage::Read(lines("huge"))).0, RefusalKind::TooLarge);
}

#[test]
fn a_long_read_holds_nobody_up() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let big = fs::File::create(agent.path("workspace/big")).unwrap();
    big.set_len(300 << 20).unwrap();
    let read = Read { unit: Unit::Bytes, limit: 1, ..lines("big") };
    guest.send(HostMessage::Read(read)).unwrap();
    let mut other = agent.connect();
    let began = std::time::Instant::now();
    assert_eq!(run(&mut other, shell("echo fine")).text(), "fine\n");
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_write_makes_parents_and_keeps_what_was_there() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let first = written(&mut guest, write("a/b/c.txt", b"one"));
    assert_eq!((first.created, first.unchanged), (true, false));
    let path = agent.path("workspace/a/b/c.txt");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
    assert!(written(&mut guest, write("a/b/c.txt", b"one")).unchanged);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4640)).unwrap();
    let second = written(&mut guest, write("a/b/c.txt", b"two"));
    assert_eq!((second.created, second.unchanged), (false, false));
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640, "no set-id bit");
    let executable = Write { executable: Some(true), ..write("a/b/c.txt", b"two") };
    assert!(!written(&mut guest, executable.clone()).unchanged);
    assert!(written(&mut guest, executable).unchanged);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o750);
    let (kind, _) = refused(&mut guest, HostMessage::Write(write("a/b", b"x")));
    assert_eq!(kind, RefusalKind::WrongType);
    let (kind, _) = refused(&mut guest, HostMessage::Write(write("a/b/c.txt/d", b"x")));
    assert_eq!(kind, RefusalKind::WrongType);
    let big = Write { content: vec![0; 8 << 20], ..write("big", b"") };
    assert!(written(&mut guest, big).created);
    assert_eq!(fs::read_dir(agent.path("workspace/a/b")).unwrap().count(), 1, "no leftovers");
}

#[test]
fn links_inside_are_followed_and_links_out_are_refused() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let workspace = agent.path("workspace");
    fs::write(agent.path("secret"), "secret\n").unwrap();
    fs::create_dir(workspace.join("d")).unwrap();
    fs::write(workspace.join("d/file"), "inside\n").unwrap();
    symlink("file", workspace.join("d/relative")).unwrap();
    symlink("/workspace/d/file", workspace.join("absolute")).unwrap();
    symlink(workspace.join("d"), workspace.join("own")).unwrap();
    symlink("d/../d/./relative", workspace.join("chain")).unwrap();
    for path in ["d/relative", "absolute", "own/file", "own/relative", "chain"] {
        assert_eq!(content(&mut guest, lines(path)).bytes, b"inside\n", "{path}");
    }
    symlink("../secret", workspace.join("out1")).unwrap();
    symlink(agent.path("secret"), workspace.join("out2")).unwrap();
    symlink("..", workspace.join("up")).unwrap();
    symlink("d/../../secret", workspace.join("out3")).unwrap();
    symlink("/proc/self/root/etc/passwd", workspace.join("out4")).unwrap();
    symlink("loop", workspace.join("loop")).unwrap();
    for path in ["out1", "out2", "out3", "out4", "up/secret", "../secret", "d/../../secret"] {
        let (kind, message) = refused(&mut guest, HostMessage::Read(lines(path)));
        assert_eq!(kind, RefusalKind::PathEscapes, "{path}: {message}");
        let (kind, _) = refused(&mut guest, HostMessage::Write(write(path, b"owned")));
        assert_eq!(kind, RefusalKind::PathEscapes, "{path}");
        let (kind, _) = refused(&mut guest, HostMessage::List(list(path, 1)));
        assert_eq!(kind, RefusalKind::PathEscapes, "{path}");
    }
    for path in ["/etc/passwd", "up/new", "up/a/b"] {
        let (kind, _) = refused(&mut guest, HostMessage::Write(write(path, b"owned")));
        assert_eq!(kind, RefusalKind::PathEscapes, "{path}");
    }
    assert_eq!(refused(&mut guest, HostMessage::Read(lines("loop"))).0, RefusalKind::Invalid);
    assert_eq!(refused(&mut guest, HostMessage::Read(lines("a\0b"))).0, RefusalKind::Invalid);
    let long = "x/".repeat(3_000);
    assert_eq!(refused(&mut guest, HostMessage::Read(lines(&long))).0, RefusalKind::Invalid);
    assert_eq!(fs::read(agent.path("secret")).unwrap(), b"secret\n");
    // Written through, as an editor does, also where nothing is yet.
    written(&mut guest, write("chain", b"new\n"));
    assert_eq!(fs::read(workspace.join("d/file")).unwrap(), b"new\n");
    assert!(workspace.join("chain").is_symlink() && workspace.join("d/relative").is_symlink());
    symlink("d/fresh", workspace.join("dangling")).unwrap();
    assert!(written(&mut guest, write("dangling", b"x")).created);
    assert_eq!(fs::read(workspace.join("d/fresh")).unwrap(), b"x");
}

#[test]
fn a_swapped_directory_never_leads_out() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    fs::create_dir(agent.path("outside")).unwrap();
    fs::write(agent.path("outside/f"), "outside").unwrap();
    let outside = agent.path("outside").display().to_string();
    let line = format!(
        "mkdir real; echo inside > real/f; ln -s {outside} away; ln -s real d; echo up; \
         while :; do ln -sfn {outside} d; ln -sfn real d; mv -T real r2; mv -T away real; \
         mv -T real away; mv -T r2 real; done"
    );
    let mut command = shell(&line);
    command.timeout_ms = 3_000;
    let (call, _) = start(&mut guest, command);
    let mut other = agent.connect();
    let until = std::time::Instant::now() + std::time::Duration::from_millis(2_500);
    let mut read = 0;
    while std::time::Instant::now() < until {
        for path in ["d/f", "real/f"] {
            if let Ok(GuestMessage::Content(content)) =
                other.ask(HostMessage::Read(lines(path)), PATIENCE, None)
            {
                assert_ne!(content.bytes, b"outside");
                read += 1;
            }
            let _ = other.ask(HostMessage::Write(write(path, b"inside")), PATIENCE, None);
        }
    }
    assert!(read > 0);
    follow(&mut guest, call);
    assert_eq!(fs::read(agent.path("outside/f")).unwrap(), b"outside");
    assert_eq!(fs::read_dir(agent.path("outside")).unwrap().count(), 1);
}

#[test]
fn an_edit_is_exact_and_says_why_not() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let path = agent.path("workspace/f");
    fs::write(&path, "one\r\ntwo\r\n\tthree\r\ntwo\r\n").unwrap();
    let mut say = |edit: Edit| refused(&mut guest, HostMessage::Edit(edit));
    assert_eq!(say(edit("f", "four", "x")).0, RefusalKind::EditMissing);
    let (kind, message) = say(edit("f", "two\n\tthree", "x"));
    assert_eq!(kind, RefusalKind::EditMissing);
    assert!(message.contains("line 2 with CRLF"), "{message}");
    let (_, message) = say(edit("f", "    three", "x"));
    assert!(message.contains("other whitespace at line 3"), "{message}");
    let (kind, message) = say(edit("f", "two", "x"));
    assert_eq!(kind, RefusalKind::EditAmbiguous);
    assert!(message.contains("2 times, at lines 2, 4"), "{message}");
    assert_eq!(say(edit("f", "", "x")).0, RefusalKind::Invalid);
    assert_eq!(say(edit("nothing", "a", "x")).0, RefusalKind::NotFound);
    let edited = |guest: &mut Guest, edit| match ask(guest, HostMessage::Edit(edit)) {
        GuestMessage::Edited(Edited { replacements, bytes }) => (replacements, bytes),
        other => panic!("unexpected {other:?}"),
    };
    assert_eq!(edited(&mut guest, edit("f", "three", "3")).0, 1);
    let all = Edit { all: true, ..edit("f", "two", "2") };
    assert_eq!(edited(&mut guest, all), (2, 15));
    assert_eq!(fs::read(&path).unwrap(), b"one\r\n2\r\n\t3\r\n2\r\n");
    fs::write(&path, b"\xff").unwrap();
    assert_eq!(refused(&mut guest, HostMessage::Edit(edit("f", "a", "b"))).0, RefusalKind::NotText);
    fs::write(&path, "a".repeat(1 << 20)).unwrap();
    let grow = Edit { all: true, ..edit("f", "a", &"b".repeat(100)) };
    assert_eq!(refused(&mut guest, HostMessage::Edit(grow)).0, RefusalKind::TooLarge);
}
