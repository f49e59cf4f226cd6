//! Output: what is kept, what is sent and when, and who can hold up whom.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use pyro_machine::GuestError;
use pyro_model::{ExecState, OutputStream};
use pyro_protocol::{
    GuestMessage, HostFrame, HostMessage, WINDOW, encode, exec::Follow, spool::kept_pieces,
};

use crate::support::*;

/// The kept bytes of a stream as the host reads them from the spool.
fn kept(
    agent: &Agent,
    end: &pyro_protocol::exec::Finished,
    kept_bytes: u64,
) -> Vec<(u64, Vec<u8>)> {
    let file = agent.spooled(&end.exec, OutputStream::Stdout);
    assert!(file.len() as u64 <= kept_bytes);
    kept_pieces(end.stdout_bytes, kept_bytes)
        .into_iter()
        .map(|(offset, at, length)| (offset, file[at as usize..(at + length) as usize].to_vec()))
        .collect()
}

fn numbers(upto: u32) -> Vec<u8> {
    (1..=upto).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

#[test]
fn past_the_kept_bytes_head_and_tail_stay() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let all = numbers(200_000);
    for kept_bytes in [2, 1_001, 65_536, 1 << 20] {
        let mut command = words(&["seq", "200000"]);
        command.kept_bytes = kept_bytes;
        command.follow = Follow::End;
        let said = run(&mut guest, command);
        let end = said.end();
        assert_eq!(end.stdout_bytes, all.len() as u64, "totals are exact");
        let pieces = kept(&agent, end, kept_bytes);
        let sum: usize = pieces.iter().map(|piece| piece.1.len()).sum();
        assert_eq!(sum as u64, kept_bytes);
        for (offset, bytes) in &pieces {
            assert!(all[*offset as usize..].starts_with(bytes));
        }
        // Attached to later, the same comes over the wire.
        let attach = HostMessage::ExecAttach {
            exec: end.exec.clone(),
            follow: Follow::Output { stdout: 0, stderr: 0 },
        };
        let call = guest.send(attach).unwrap();
        let mut sum = 0;
        loop {
            match guest.receive(call, Some(Instant::now() + PATIENCE), None).unwrap() {
                GuestMessage::Output { offset, bytes, .. } => {
                    assert!(all[offset as usize..].starts_with(&bytes));
                    sum += bytes.len() as u64;
                }
                GuestMessage::Finished(again) => {
                    assert_eq!(again, *end);
                    break;
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        assert_eq!(sum, kept_bytes);
    }
}

#[test]
fn a_flood_costs_no_more_than_the_kept_bytes_and_holds_nobody_up() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let mut command = shell("yes & yes >&2");
    command.kept_bytes = 100_000;
    command.timeout_ms = 1_000;
    command.follow = Follow::End;
    let exec = command.exec.clone();
    let (call, _) = start(&mut guest, command);
    let mut other = agent.connect();
    let began = Instant::now();
    assert_eq!(run(&mut other, shell("echo fine")).text(), "fine\n");
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    let said = follow(&mut guest, call);
    assert_eq!(said.end().state, ExecState::TimedOut);
    assert!(said.end().stdout_bytes > 1_000_000);
    for stream in [OutputStream::Stdout, OutputStream::Stderr] {
        assert_eq!(agent.spooled(&exec, stream).len(), 100_000);
    }
}

#[test]
fn nothing_is_sent_beyond_the_credit() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let mut command = words(&["head", "-c", "3000000", "/dev/zero"]);
    command.kept_bytes = 8 << 20;
    let (call, _) = start(&mut guest, command);
    let mut got = 0;
    let receive = |guest: &mut pyro_machine::Guest, for_ms| {
        guest.receive(call, Some(Instant::now() + Duration::from_millis(for_ms)), None)
    };
    while got < WINDOW as usize {
        let GuestMessage::Output { bytes, .. } = receive(&mut guest, 10_000).unwrap() else {
            panic!()
        };
        got += bytes.len();
    }
    assert_eq!(got, WINDOW as usize);
    assert!(matches!(receive(&mut guest, 300), Err(GuestError::Deadline(_))));
    guest.send_on(call, HostMessage::Credit { bytes: 5 }).unwrap();
    let answer = receive(&mut guest, 10_000).unwrap();
    assert!(matches!(answer, GuestMessage::Output { bytes, .. } if bytes.len() == 5));
    assert!(matches!(receive(&mut guest, 300), Err(GuestError::Deadline(_))));
    guest.send_on(call, HostMessage::Credit { bytes: u32::MAX }).unwrap();
    got += 5;
    loop {
        match receive(&mut guest, 10_000).unwrap() {
            GuestMessage::Output { bytes, .. } => got += bytes.len(),
            GuestMessage::Finished(end) => {
                assert_eq!(end.exit_code, Some(0));
                break;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(got, 3_000_000);
}

#[test]
fn a_slow_reader_holds_up_neither_the_command_nor_others() {
    let agent = Agent::start();
    // A raw stream that grants without end and reads nothing.
    let mut stream = agent.stream();
    let mut wire = Vec::new();
    let mut command = words(&["head", "-c", "60000000", "/dev/zero"]);
    command.kept_bytes = 64 << 20;
    let exec = command.exec.clone();
    let mut say = |call, message| encode(&HostFrame { call, message }, &mut wire).unwrap();
    say(1, HostMessage::Hello { version: pyro_protocol::VERSION });
    say(2, HostMessage::Exec(Box::new(command)));
    for _ in 0..4 {
        say(2, HostMessage::Credit { bytes: u32::MAX });
    }
    stream.write_all(&wire).unwrap();
    let mut guest = agent.connect();
    until("the command is known", || {
        let attach = HostMessage::ExecAttach { exec: exec.clone(), follow: Follow::End };
        guest.ask(attach, PATIENCE, None).is_ok()
    });
    assert_eq!(run(&mut guest, shell("echo fine")).text(), "fine\n");
    let memory = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
    let resident = memory.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    let kib: u64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 8_000, "what nobody reads is not held in memory: {resident}");
    // It is all there once it is read.
    let mut got = 0u64;
    let mut buffer = vec![0; 1 << 20];
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while got < 60_000_000 {
        got += stream.read(&mut buffer).unwrap() as u64;
    }
}

#[test]
fn a_cancelled_follower_is_not_answered_and_the_command_goes_on() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let command = shell("echo a; sleep 0.4; echo b");
    let exec = command.exec.clone();
    let (call, _) = start(&mut guest, command);
    guest.send_on(call, HostMessage::Cancel).unwrap();
    let attach = HostMessage::ExecAttach { exec, follow: Follow::Output { stdout: 2, stderr: 0 } };
    let again = guest.send(attach).unwrap();
    loop {
        // Messages of the cancelled call would be dropped here by the client as well.
        match guest.receive(again, Some(Instant::now() + PATIENCE), None).unwrap() {
            GuestMessage::Output { offset, bytes, .. } => {
                assert_eq!((offset, &bytes[..]), (2, &b"b\n"[..]));
            }
            GuestMessage::Finished(end) => {
                assert_eq!(end.stdout_bytes, 4);
                break;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[test]
fn many_followers_see_the_same() {
    let agent = Agent::start();
    let mut first = agent.connect();
    let command = shell("for n in $(seq 200); do echo line $n; done; sleep 0.3; echo end");
    let exec = command.exec.clone();
    let (call, _) = start(&mut first, command);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let mut guest = agent.connect();
            let exec = exec.clone();
            std::thread::spawn(move || {
                let attach = HostMessage::ExecAttach {
                    exec,
                    follow: Follow::Output { stdout: 0, stderr: 0 },
                };
                let call = guest.send(attach).unwrap();
                follow(&mut guest, call).stdout
            })
        })
        .collect();
    let said = follow(&mut first, call);
    assert!(said.text().ends_with("line 200\nend\n"));
    for thread in threads {
        assert_eq!(thread.join().unwrap(), said.stdout);
    }
}

#[test]
fn a_full_spool_cuts_the_output_and_never_the_command() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to mount a small file system");
        return;
    }
    let options = Options { lowers: 1, spool_kib: Some(64), ..Options::default() };
    let agent = Agent::with(&options);
    let mut guest = agent.connect();
    let mut command = shell("head -c 1000000 /dev/zero; echo >&2 here; exit 8");
    command.kept_bytes = 8 << 20;
    let said = run(&mut guest, command);
    let end = said.end();
    assert_eq!((end.state, end.exit_code), (ExecState::Exited, Some(8)));
    assert!(end.stdout_bytes < 65_536, "no more is claimed than is there: {}", end.stdout_bytes);
    assert_eq!(said.stdout.len() as u64, end.stdout_bytes);
    // The next command runs all the same.
    assert_eq!(run(&mut guest, shell("exit 2")).end().exit_code, Some(2));
}
