//! Peers that break the protocol or want too much: they lose their own connection and nothing
//! else.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use pyro_machine::Guest;
use pyro_protocol::{
    GuestFrame, GuestMessage, HostFrame, HostMessage, VERSION, encode, exec::Follow,
    message::RefusalKind, spool::Record,
};

use crate::support::*;

fn frame(call: u32, message: HostMessage) -> Vec<u8> {
    let mut wire = Vec::new();
    encode(&HostFrame { call, message }, &mut wire).unwrap();
    wire
}

fn hello() -> Vec<u8> {
    frame(1, HostMessage::Hello { version: VERSION })
}

/// Whether the agent closes the stream, having read whatever came before.
fn is_closed(stream: &mut UnixStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn broken_frames_close_their_connection_only() {
    let agent = Agent::start();
    let mut good = agent.connect();
    let cases: Vec<Vec<u8>> = vec![
        u32::MAX.to_le_bytes().to_vec(),
        [&5u32.to_le_bytes()[..], b"xxxxx"].concat(),
        [hello(), 3u32.to_le_bytes().to_vec(), vec![0xff; 3]].concat(),
        // Before the handshake, and with a number that is in use.
        frame(1, HostMessage::Status),
        [
            hello(),
            frame(2, HostMessage::Exec(Box::new(words(&["sleep", "1"])))),
            frame(2, HostMessage::Status),
        ]
        .concat(),
    ];
    for case in cases {
        let mut stream = agent.stream();
        stream.write_all(&case).unwrap();
        assert!(is_closed(&mut stream), "{case:?}");
    }
    assert!(matches!(ask(&mut good, HostMessage::Status), GuestMessage::Status(_)));
}

#[test]
fn another_version_is_told_ours_and_gets_nothing() {
    let agent = Agent::start();
    let mut stream = agent.stream();
    stream.write_all(&frame(1, HostMessage::Hello { version: VERSION + 1 })).unwrap();
    let mut decoder = pyro_protocol::Decoder::default();
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer).unwrap();
    decoder.push(&buffer[..read]);
    let answer: GuestFrame = decoder.next().unwrap().unwrap();
    assert!(matches!(answer.message, GuestMessage::Hello { version: VERSION, .. }));
    stream.write_all(&frame(2, HostMessage::Status)).unwrap();
    assert!(is_closed(&mut stream));
}

#[test]
fn random_bytes_never_hurt() {
    let agent = Agent::start();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..200 {
        let mut bytes = if round % 2 == 0 { hello() } else { Vec::new() };
        for _ in 0..round {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = (state >> 33) as u8;
            // Small lengths, so that some frames are whole.
            bytes.extend_from_slice(&[random % 24, 0, 0, 0]);
            bytes.extend((0..random % 24).map(|at| random.rotate_left(u32::from(at)) ^ at));
        }
        let mut stream = agent.stream();
        let _ = stream.write_all(&bytes);
    }
    assert!(matches!(ask(&mut agent.connect(), HostMessage::Status), GuestMessage::Status(_)));
}

#[test]
fn calls_and_connections_are_bounded() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let command = words(&["sleep", "300"]);
    let exec = command.exec.clone();
    start(&mut guest, command);
    let attach = || HostMessage::ExecAttach { exec: exec.clone(), follow: Follow::End };
    for _ in 0..999 {
        guest.send(attach()).unwrap();
    }
    assert_eq!(refused(&mut guest, attach()).0, RefusalKind::TooLarge);
    let mut others: Vec<Guest> = (0..255).map(|_| agent.connect()).collect();
    let mut one_more = agent.stream();
    let _ = one_more.write_all(&hello());
    assert!(is_closed(&mut one_more));
    others.truncate(10);
    until("there is room again", || {
        Guest::handshake(agent.stream(), Duration::from_secs(1)).is_ok()
    });
}

#[test]
fn without_descriptors_the_agent_goes_on() {
    let agent = Agent::with(&Options { lowers: 1, open_files: Some(40), ..Options::default() });
    let mut guest = agent.connect();
    let held: Vec<UnixStream> = (0..60).map(|_| agent.stream()).collect();
    // A command needs descriptors that are not there: an honest refusal.
    let (kind, message) = refused(&mut guest, HostMessage::Exec(Box::new(words(&["true"]))));
    assert_eq!(kind, RefusalKind::System, "{message}");
    let began = cpu_ticks(agent.child.id());
    std::thread::sleep(Duration::from_millis(300));
    assert!(cpu_ticks(agent.child.id()) - began < 10, "it does not spin");
    drop(held);
    until("a command runs again", || {
        matches!(
            guest.ask(HostMessage::Exec(Box::new(words(&["true"]))), PATIENCE, None),
            Ok(GuestMessage::Started { .. })
        )
    });
}

#[test]
fn without_processes_a_command_is_refused_and_the_agent_goes_on() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to take a user of its own");
        return;
    }
    // The agent itself is one, a supervisor the second, the command would be the third.
    for most in [1, 2] {
        let user = Some((61_240 + most, most));
        let agent = Agent::with(&Options { lowers: 1, user, ..Options::default() });
        let mut guest = agent.connect();
        for _ in 0..3 {
            let call = guest.send(HostMessage::Exec(Box::new(words(&["true"])))).unwrap();
            let answer = guest.receive(call, Some(Instant::now() + PATIENCE), None).unwrap();
            let GuestMessage::Failed(refusal) = answer else { panic!("got {answer:?}") };
            assert_eq!(refusal.kind, RefusalKind::System, "{}", refusal.message);
        }
        let lost = agent.records().into_iter().filter(|record| {
            matches!(record, Record::ExecFinished { finished, .. }
                if finished.state == pyro_model::ExecState::Lost)
        });
        assert_eq!(lost.count(), 3, "the log has an end for each");
    }
}

fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_flood_of_calls_that_nobody_reads_is_bounded() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let mut stream = agent.stream();
    stream.write_all(&hello()).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let many: Vec<u8> = (2..5_000).flat_map(|call| frame(call, HostMessage::Status)).collect();
    let until = Instant::now() + Duration::from_secs(10);
    // Ends when the agent no longer reads.
    while Instant::now() < until && stream.write_all(&many).is_ok() {}
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
    let resident = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    let kib: u64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 32_000, "{resident}");
    assert_eq!(run(&mut guest, shell("echo fine")).text(), "fine\n");
}
