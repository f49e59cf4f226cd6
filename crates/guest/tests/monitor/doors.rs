//! What doors and a hostile guest may do to the service, and what they may not.

use std::{
    fs,
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use pyro_machine::{Guest, GuestError};
use pyro_model::{ExecId, ExecState, OutputStream};
use pyro_protocol::{
    GuestMessage, HostFrame, HostMessage, VERSION, encode,
    exec::{ExecStart, Finished, Follow},
    files::{Pack, Read, Unit, Write},
    message::RefusalKind,
    spool::{Record, StopReason, output_file},
    vm::{FromVm, ToVm},
};

use crate::{
    fake::{PATIENCE, Played},
    vms::shell,
};

fn next(door: &mut Guest, call: u32) -> GuestMessage {
    door.receive(call, Some(Instant::now() + PATIENCE), None).unwrap()
}

fn finished(exec: &ExecId) -> Finished {
    Finished {
        exec: exec.clone(),
        state: ExecState::Exited,
        exit_code: Some(0),
        signal: Some(9),
        duration_ms: 5,
        stdout_bytes: 1 << 40,
        stderr_bytes: 0,
        survivors: 0,
    }
}

fn started(exec: &ExecId) -> Record {
    let line = "the guest's own line".to_owned();
    Record::ExecStarted { exec: exec.clone(), at_ms: 0, line, cwd: String::new() }
}

/// A door has a command started: its call there, and the guest's.
fn begin(played: &mut Played, door: &mut Guest, start: &ExecStart) -> (u32, u32) {
    let ours = door.send(HostMessage::Exec(Box::new(start.clone()))).unwrap();
    let frame = played.call();
    let HostMessage::Exec(passed) = &frame.message else { panic!("{frame:?}") };
    assert_eq!(passed.follow, Follow::End);
    assert_eq!(passed.line, start.line);
    (ours, frame.call)
}

fn output(exec: &ExecId, stream: OutputStream, bytes: &[u8]) -> FromVm {
    FromVm::Output { exec: exec.clone(), stream, bytes: bytes.to_vec() }
}

fn read() -> HostMessage {
    let unit = Unit::Bytes;
    HostMessage::Read(Read { path: "a".to_owned(), unit, offset: 0, limit: 9, max_bytes: 9 })
}

#[test]
fn equal_calls_of_two_doors_are_told_apart() {
    let mut played = Played::start();
    let (mut first, mut second) = (played.door(), played.door());
    assert_eq!(first.boot(), [9; 16]);
    let (one, two) =
        (first.send(HostMessage::Status).unwrap(), second.send(HostMessage::Status).unwrap());
    assert_eq!(one, two, "both doors use the same number");
    let (a, b) = (played.call(), played.call());
    assert_ne!(a.call, b.call);
    // Answered the other way around, and to a call that is not open.
    played.answer(77_777, GuestMessage::Done);
    played.answer(b.call, GuestMessage::Stopped { survivors: 2 });
    played.answer(a.call, GuestMessage::Stopped { survivors: 1 });
    played.answer(a.call, GuestMessage::Stopped { survivors: 3 });
    let said = [next(&mut first, one), next(&mut second, two)];
    let mut said = said.map(|said| match said {
        GuestMessage::Stopped { survivors } => survivors,
        other => panic!("{other:?}"),
    });
    said.sort_unstable();
    assert_eq!(said, [1, 2]);
    let again = first.send(HostMessage::Status).unwrap();
    let frame = played.call();
    // A call's end is its end: what came after it went nowhere.
    played.answer(frame.call, GuestMessage::Done);
    assert_eq!(next(&mut first, again), GuestMessage::Done);
}

#[test]
fn a_command_is_followed_from_the_spool_by_whoever_asks() {
    let mut played = Played::start();
    let (mut first, mut second) = (played.door(), played.door());
    let start = shell(1, "words");
    let (ours, theirs) = begin(&mut played, &mut first, &start);
    played.say(&FromVm::Logged(started(&start.exec)));
    played.answer(theirs, GuestMessage::Started { pid: 5 });
    assert_eq!(next(&mut first, ours), GuestMessage::Started { pid: 5 });
    played.say(&output(&start.exec, OutputStream::Stdout, b"one "));
    played.say(&output(&start.exec, OutputStream::Stderr, b"two"));
    let follow = Follow::Output { stdout: 2, stderr: 0 };
    let attached =
        second.send(HostMessage::ExecAttach { exec: start.exec.clone(), follow }).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while out.len() < 2 || err.len() < 3 {
        match next(&mut second, attached) {
            GuestMessage::Output { stream: OutputStream::Stdout, offset, bytes } => {
                assert_eq!(offset, 2 + out.len() as u64);
                out.extend(bytes);
            }
            GuestMessage::Output { bytes, .. } => err.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((&out[..], &err[..]), (&b"e "[..], &b"two"[..]));
    let record = Record::ExecFinished { at_ms: 0, finished: finished(&start.exec) };
    played.say(&FromVm::Logged(record));
    played.answer(theirs, GuestMessage::Finished(finished(&start.exec)));
    // Totals are what was written down, whatever the guest says; and a code has no signal.
    let mut expected = finished(&start.exec);
    (expected.stdout_bytes, expected.stderr_bytes, expected.signal) = (4, 3, None);
    assert_eq!(next(&mut second, attached), GuestMessage::Finished(expected.clone()));
    // Later output is nobody's, and the file is what the end counted.
    played.say(&output(&start.exec, OutputStream::Stdout, b""));
    let late = second
        .send(HostMessage::ExecAttach { exec: start.exec.clone(), follow: Follow::End })
        .unwrap();
    assert_eq!(next(&mut second, late), GuestMessage::Finished(expected));
    let name = output_file(&start.exec, OutputStream::Stdout);
    assert_eq!(fs::read(played.spooled(&name)).unwrap(), b"one ");
    let records = played.records();
    assert!(matches!(&records[1], Record::ExecStarted { line, at_ms, .. }
        if line == "words" && *at_ms > 0));
    assert_eq!(records.len(), 3, "{records:?}");
}

#[test]
fn a_follower_has_no_more_than_its_credit() {
    let mut played = Played::start();
    let mut door = played.door();
    let mut start = shell(1, "flood");
    start.kept_bytes = 8 << 20;
    let (ours, _) = begin(&mut played, &mut door, &start);
    played.say(&FromVm::Logged(started(&start.exec)));
    for _ in 0..64 {
        played.say(&output(&start.exec, OutputStream::Stdout, &[b'x'; 64 << 10]));
    }
    played.say(&FromVm::Logged(Record::ExecFinished { at_ms: 0, finished: finished(&start.exec) }));
    let mut got = 0;
    let mut granted = u64::from(pyro_protocol::WINDOW);
    loop {
        match next(&mut door, ours) {
            GuestMessage::Output { bytes, .. } => {
                got += bytes.len() as u64;
                assert!(got <= granted, "{got} of {granted}");
                if got == granted {
                    door.send_on(ours, HostMessage::Credit { bytes: 300_000 }).unwrap();
                    granted += 300_000;
                }
            }
            GuestMessage::Finished(finished) => {
                assert_eq!(finished.stdout_bytes, 4 << 20);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, 4 << 20);
}

#[test]
fn a_door_that_goes_cancels_its_calls_and_leaves_its_commands() {
    let mut played = Played::start();
    let mut door = played.door();
    let (taken, refused) = (shell(1, "taken"), shell(2, "refused"));
    let (_, one) = begin(&mut played, &mut door, &taken);
    let (_, two) = begin(&mut played, &mut door, &refused);
    door.send(read()).unwrap();
    let three = played.call().call;
    played.say(&FromVm::Logged(started(&taken.exec)));
    // The record has arrived once an answer after it has.
    let probe = door.send(HostMessage::Status).unwrap();
    let call = played.call().call;
    played.answer(call, GuestMessage::Done);
    next(&mut door, probe);
    drop(door);
    let mut cancelled: Vec<u32> = (0..3)
        .map(|_| match played.call() {
            HostFrame { call, message: HostMessage::Cancel } => call,
            other => panic!("{other:?}"),
        })
        .collect();
    cancelled.sort_unstable();
    assert_eq!(cancelled, [one, two, three]);
    // The guest's answers of that moment go nowhere; one says that a command never was.
    let refusal = pyro_protocol::message::Refusal {
        kind: RefusalKind::Invalid,
        what: "x".to_owned(),
        message: "run it".to_owned(),
    };
    played.answer(three, GuestMessage::Failed(refusal.clone()));
    played.answer(two, GuestMessage::Failed(refusal));
    played.say(&FromVm::Logged(Record::ExecFinished { at_ms: 0, finished: finished(&taken.exec) }));
    let mut door = played.door();
    let attach = |exec: &ExecId| HostMessage::ExecAttach {
        exec: exec.clone(),
        follow: Follow::Output { stdout: 0, stderr: 0 },
    };
    let call = door.send(attach(&taken.exec)).unwrap();
    assert!(matches!(next(&mut door, call), GuestMessage::Finished(_)));
    let call = door.send(attach(&refused.exec)).unwrap();
    let GuestMessage::Failed(refusal) = next(&mut door, call) else { panic!("it is known") };
    assert_eq!(refusal.kind, RefusalKind::NotFound);
    assert_eq!(refusal.message, format!("find the command {}", refused.exec));
}

#[test]
fn a_command_that_the_guest_refuses_is_forgotten_and_an_id_is_used_once() {
    let mut played = Played::start();
    let mut door = played.door();
    let start = shell(1, "x");
    let (ours, theirs) = begin(&mut played, &mut door, &start);
    let twice = door.send(HostMessage::Exec(Box::new(start.clone()))).unwrap();
    let GuestMessage::Failed(refusal) = next(&mut door, twice) else { panic!("it ran twice") };
    assert!(refusal.message.contains("is taken"), "{refusal:?}");
    played.answer(theirs, GuestMessage::Failed(refusal));
    assert!(matches!(next(&mut door, ours), GuestMessage::Failed(_)));
    // The id is free again.
    begin(&mut played, &mut door, &start);
}

#[test]
fn the_protocol_is_kept_or_the_connection_is_lost() {
    let mut played = Played::start();
    let frame = |call, message| {
        let mut wire = Vec::new();
        encode(&HostFrame { call, message }, &mut wire).unwrap();
        wire
    };
    let hello = frame(1, HostMessage::Hello { version: VERSION });
    let other = frame(1, HostMessage::Hello { version: VERSION + 1 });
    let status = || frame(2, HostMessage::Status);
    let cases: [(&str, Vec<Vec<u8>>); 4] = [
        ("no hello", vec![status()]),
        ("another version", vec![other, status()]),
        ("a number twice", vec![hello.clone(), status(), status()]),
        ("no frame", vec![hello, u32::MAX.to_le_bytes().to_vec()]),
    ];
    for (what, wire) in cases {
        let mut stream = played.stream();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for part in wire {
            stream.write_all(&part).unwrap();
        }
        let mut rest = Vec::new();
        // A reset is as good as an end.
        let ended = stream.read_to_end(&mut rest);
        let timed_out = matches!(&ended, Err(error)
            if error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "{what}: the connection stays");
    }
    // Others are served all the while.
    let mut door = played.door();
    let call = door.send(read()).unwrap();
    let theirs = loop {
        match played.call() {
            HostFrame { call, message: HostMessage::Read(_) } => break call,
            HostFrame { message: HostMessage::Status | HostMessage::Cancel, .. } => {}
            other => panic!("{other:?}"),
        }
    };
    played.answer(theirs, GuestMessage::Done);
    assert_eq!(next(&mut door, call), GuestMessage::Done);
}

#[test]
fn a_door_that_does_not_read_holds_up_nobody_and_is_let_go() {
    let mut played = Played::start();
    let mut lazy = played.door();
    let pack = Pack { paths: vec![b"a".to_vec()], recursive: true, max_bytes: 1, max_entries: 1 };
    lazy.send(HostMessage::Pack(pack)).unwrap();
    let packing = played.call().call;
    let mut busy = played.door();
    let chunk = GuestMessage::Chunk { bytes: vec![7; 1 << 20] };
    let mut gone = false;
    for round in 0..200 {
        played.answer(packing, chunk.clone());
        let call = busy.send(HostMessage::Status).unwrap();
        let mut frame = played.call();
        if frame.message == HostMessage::Cancel {
            assert_eq!(frame.call, packing);
            assert!(round > 8, "let go after {round} MiB");
            gone = true;
            frame = played.call();
        }
        played.answer(frame.call, GuestMessage::Done);
        assert_eq!(next(&mut busy, call), GuestMessage::Done);
        if gone {
            break;
        }
    }
    assert!(gone, "it may cost any amount of memory");
}

#[test]
fn calls_wait_for_a_guest_that_does_not_read_and_none_is_lost() {
    let mut played = Played::start();
    let write = |at: usize| {
        HostMessage::Write(Write {
            path: format!("{at}"),
            content: vec![1; 4 << 20],
            executable: None,
        })
    };
    // Each in its own thread: a door waits until M takes its call.
    let doors: Vec<_> = (0..6)
        .map(|at| {
            let mut door = played.door();
            std::thread::spawn(move || {
                let call = door.send(write(at)).unwrap();
                (next(&mut door, call), at)
            })
        })
        .collect();
    for _ in 0..doors.len() {
        let frame = played.call();
        let HostMessage::Write(write) = frame.message else { panic!("no write") };
        assert_eq!(write.content.len(), 4 << 20);
        let survivors = write.path.parse().unwrap();
        played.answer(frame.call, GuestMessage::Stopped { survivors });
    }
    for door in doors {
        let (answer, at) = door.join().unwrap();
        assert_eq!(answer, GuestMessage::Stopped { survivors: at as u32 });
    }
}

#[test]
fn what_a_hostile_guest_says_names_nothing_of_its_own() {
    let mut played = Played::start();
    let mut door = played.door();
    let stranger = ExecId::from_random([5; 8]);
    played.say(&FromVm::Logged(started(&stranger)));
    played.say(&output(&stranger, OutputStream::Stdout, b"x"));
    played.say(&FromVm::Logged(Record::ExecFinished { at_ms: 1, finished: finished(&stranger) }));
    played.say(&FromVm::Logged(Record::MachineStarted { at_ms: 1, boot: [1; 16] }));
    played.say(&FromVm::Waiting { version: 9 });
    played.say(&FromVm::Synced);
    let call = door.send(HostMessage::Status).unwrap();
    let theirs = played.call().call;
    played.answer(theirs, GuestMessage::Hello { version: 1, boot: [1; 16] });
    played.answer(theirs, GuestMessage::Done);
    assert_eq!(next(&mut door, call), GuestMessage::Done);
    assert_eq!(played.records().len(), 1, "only M's own start");
    let files = fs::read_dir(played.folder.path().join("spool")).unwrap().count();
    assert_eq!(files, 1);
    // A stream that makes no sense ends the machine, and the log says why.
    played.guest.write_all(&[255; 64]).unwrap();
    assert!(matches!(
        door.receive(u32::MAX, Some(Instant::now() + Duration::from_millis(200)), None),
        Err(GuestError::Deadline(_) | GuestError::Gone)
    ));
    let (_, records) = played.end();
    assert!(
        matches!(records.last(), Some(Record::MachineFailed { why, .. })
        if why.contains("no message")),
        "{records:?}"
    );
}

#[test]
fn each_end_is_written_down_as_what_it_was() {
    // Pyro's: the guest writes to its disk first.
    let mut played = Played::start();
    played.signals.write_all(&[1; 128]).unwrap();
    assert_eq!(played.heard(), ToVm::Sync);
    let mut door = played.door_or_none();
    assert!(door.take().is_none(), "no new door once it ends");
    played.say(&FromVm::Synced);
    assert!(played.command().contains("\"quit\""));
    let (_, records) = played.end();
    let asked = |record: Option<&Record>| {
        matches!(record, Some(Record::MachineStopped { reason: StopReason::Asked, .. }))
    };
    assert!(asked(records.last()), "{records:?}");
    // A guest that does not write: in two seconds.
    let mut played = Played::start();
    let began = Instant::now();
    played.signals.write_all(&[1; 128]).unwrap();
    assert!(played.command().contains("\"quit\""));
    assert!(began.elapsed() >= Duration::from_secs(2));
    let (_, records) = played.end();
    assert!(asked(records.last()), "{records:?}");
    // The guest's own, with its reason.
    let mut played = Played::start();
    let reason = StopReason::Idle;
    played.say(&FromVm::Logged(Record::MachineStopped { at_ms: 1, reason }));
    played.say(&FromVm::Ended);
    assert!(played.command().contains("\"quit\""));
    let (_, records) = played.end();
    assert!(matches!(records.last(),
        Some(Record::MachineStopped { reason: StopReason::Idle, at_ms }) if *at_ms > 1));
    // Nobody's.
    let (_, records) = Played::start().end();
    assert!(matches!(records.last(), Some(Record::MachineFailed { .. })), "{records:?}");
    // The last look's.
    let mut played = Played::with(true);
    drop(played.door());
    assert!(played.command().contains("\"quit\""));
    let (_, records) = played.end();
    assert!(asked(records.last()), "{records:?}");
}
