//! The agent of a VM over its one channel, as an ordinary process: a socket pair stands for the
//! port, the test for the monitor.
#![expect(clippy::unwrap_used, reason = "a test may fail and say why")]

mod support;

use std::time::{Duration, Instant};

use pyro_model::{ExecState, OutputStream};
use pyro_protocol::{
    GuestMessage, HostMessage,
    exec::Follow,
    files::{List, Read, Unit, Write},
    message::RefusalKind,
    spool::{Record, StopReason},
    vm::{FromVm, ToVm},
};
use support::*;

fn whole(path: &str) -> Read {
    let (offset, limit, max_bytes) = (0, u64::MAX, 4 << 20);
    Read { path: path.to_owned(), unit: Unit::Bytes, offset, limit, max_bytes }
}

#[test]
fn a_command_is_logged_and_its_output_comes_before_its_end() {
    let mut agent = Agent::start();
    assert_eq!(agent.hear(), FromVm::Awake);
    let FromVm::Logged(Record::MachineStarted { boot, .. }) = agent.hear() else { panic!() };
    assert_eq!(boot[0], 0x11);
    let start = shell("echo out; echo err >&2; exit 3");
    let exec = start.exec.clone();
    let call = agent.call(HostMessage::Exec(Box::new(start)));
    let frames = agent.until_finished(call);
    let place = |wanted: &dyn Fn(&FromVm) -> bool| frames.iter().position(wanted).unwrap();
    let started = place(&|frame| matches!(frame, FromVm::Logged(Record::ExecStarted { .. })));
    let exists = place(&|frame| is_answer(frame, |m| matches!(m, GuestMessage::Started { .. })));
    let output = place(&|frame| matches!(frame, FromVm::Output { .. }));
    let ended = place(&|frame| matches!(frame, FromVm::Logged(Record::ExecFinished { .. })));
    assert!(started < exists && exists < output && output < ended && ended < frames.len() - 1);
    assert_eq!(output_of(&frames, &exec, OutputStream::Stdout), b"out\n");
    assert_eq!(output_of(&frames, &exec, OutputStream::Stderr), b"err\n");
    let end = end_of(&frames);
    assert_eq!((end.state, end.exit_code), (ExecState::Exited, Some(3)));
    assert_eq!((end.stdout_bytes, end.stderr_bytes), (4, 4));
    assert_eq!(agent.spooled(), 0, "nothing is kept here");
}

#[test]
fn a_flood_waits_for_the_monitor_and_every_byte_comes_once() {
    let mut agent = Agent::start();
    let start = shell("head -c 30000000 /dev/zero; echo done > done; echo end");
    let exec = start.exec.clone();
    let call = agent.call(HostMessage::Exec(Box::new(start)));
    // Nobody reads: the command comes no further than the pipe, the agent's buffer and the channel.
    std::thread::sleep(Duration::from_millis(500));
    assert!(!agent.path("workspace/done").exists(), "the command did not wait");
    let memory = agent.resident_kib();
    assert!(memory < 20_000, "{memory} KiB");
    let busy = agent.ticks();
    std::thread::sleep(Duration::from_millis(500));
    assert!(agent.ticks() - busy <= 5, "the agent does not wait quietly");
    let frames = agent.until_finished(call);
    let output = output_of(&frames, &exec, OutputStream::Stdout);
    assert_eq!(output.len(), 30_000_004);
    assert!(output.ends_with(b"\0end\n"));
    assert_eq!(end_of(&frames).stdout_bytes, 30_000_004);
}

#[test]
fn calls_are_answered_while_others_flood() {
    let mut agent = Agent::start();
    let floods: Vec<_> = (0..3)
        .map(|_| {
            let start = shell("exec yes");
            let exec = start.exec.clone();
            agent.call(HostMessage::Exec(Box::new(start)));
            exec
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    agent.write("file", &vec![b'x'; 200 << 10]);
    for _ in 0..10 {
        let read = whole("file");
        let answer = agent.ask(HostMessage::Read(read));
        assert!(matches!(answer, GuestMessage::Content(_)), "{answer:?}");
        let start = shell("echo fine");
        let exec = start.exec.clone();
        let call = agent.call(HostMessage::Exec(Box::new(start)));
        let frames = agent.until_finished(call);
        assert_eq!(output_of(&frames, &exec, OutputStream::Stdout), b"fine\n");
    }
    for exec in floods {
        let answer = agent.ask(HostMessage::ExecStop { exec, signal: 15, grace_ms: 100 });
        assert_eq!(answer, GuestMessage::Stopped { survivors: 0 });
    }
}

#[test]
fn what_a_finished_command_left_behind_is_not_sent() {
    let mut agent = Agent::start();
    let start = shell("(sleep 0.2; echo late; echo late > late) & echo early");
    let exec = start.exec.clone();
    let call = agent.call(HostMessage::Exec(Box::new(start)));
    let frames = agent.until_finished(call);
    assert_eq!(output_of(&frames, &exec, OutputStream::Stdout), b"early\n");
    let until = Instant::now() + PATIENCE;
    while !agent.path("workspace/late").exists() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    let start = shell("true");
    let call = agent.call(HostMessage::Exec(Box::new(start)));
    let frames = agent.until_finished(call);
    assert!(!frames.iter().any(|frame| matches!(frame, FromVm::Output { .. })), "{frames:?}");
}

#[test]
fn files_and_refusals_travel_as_in_a_container() {
    let mut agent = Agent::start();
    let content = vec![b'a'; 5 << 20];
    let answer = agent.ask(HostMessage::Write(Write {
        path: "big".to_owned(),
        content: content.clone(),
        executable: None,
    }));
    assert!(matches!(answer, GuestMessage::Written(_)), "{answer:?}");
    assert_eq!(std::fs::read(agent.path("workspace/big")).unwrap(), content);
    let answer =
        agent.ask(HostMessage::List(List { path: String::new(), depth: 1, glob: None, limit: 10 }));
    assert!(matches!(answer, GuestMessage::Listed(_)), "{answer:?}");
    let GuestMessage::Failed(refusal) = agent.ask(HostMessage::Read(whole("missing"))) else {
        panic!()
    };
    assert_eq!(refusal.kind, RefusalKind::NotFound);
}

#[test]
fn more_calls_than_one_door_may_have_are_open_at_once() {
    let mut agent = Agent::start();
    let mut start = shell("sleep 60");
    start.follow = Follow::End;
    let exec = start.exec.clone();
    agent.call(HostMessage::Exec(Box::new(start)));
    for _ in 0..3_000 {
        agent.call(HostMessage::ExecAttach { exec: exec.clone(), follow: Follow::End });
    }
    assert!(matches!(agent.ask(HostMessage::Status), GuestMessage::Status(_)));
    let stop = HostMessage::ExecStop { exec, signal: 15, grace_ms: 1_000 };
    let stop = agent.call(stop);
    let (mut ends, mut stopped) = (0, false);
    while ends < 3_001 || !stopped {
        match agent.hear() {
            FromVm::Guest(frame) if frame.call == stop => stopped = true,
            FromVm::Guest(frame) => {
                ends += u32::from(matches!(frame.message, GuestMessage::Finished(_)));
            }
            _ => {}
        }
    }
}

#[test]
fn a_sync_is_answered_and_the_clock_is_taken() {
    let mut agent = Agent::start();
    agent.say(&ToVm::Clock { at_us: 1 });
    agent.say(&ToVm::Sync);
    while agent.hear() != FromVm::Synced {}
}

#[test]
fn the_end_comes_last_after_everything_that_commands_wrote() {
    let mut agent = Agent::start();
    let start =
        shell("trap 'head -c 2000000 /dev/zero; exit' TERM; echo up; while :; do sleep 0.02; done");
    let exec = start.exec.clone();
    let running = agent.call(HostMessage::Exec(Box::new(start)));
    agent.until_output(&exec);
    let shutdown = agent.call(HostMessage::Shutdown);
    let frames = agent.hear_to_the_end();
    let output = output_of(&frames, &exec, OutputStream::Stdout);
    // On a busy host it is killed before it has written everything.
    let counted = frames.iter().find_map(|frame| match frame {
        FromVm::Logged(Record::ExecFinished { finished, .. }) => Some(finished.stdout_bytes),
        _ => None,
    });
    assert_eq!(counted, Some(output.len() as u64 + 3), "`up` was heard before");
    assert!(output.len() > 65_536);
    let place = |wanted: &dyn Fn(&FromVm) -> bool| frames.iter().position(wanted).unwrap();
    let finished = place(&|frame| matches!(frame, FromVm::Guest(frame) if frame.call == running));
    let stopped = place(&|frame| {
        matches!(frame, FromVm::Logged(Record::MachineStopped { reason: StopReason::Asked, .. }))
    });
    let done = place(&|frame| matches!(frame, FromVm::Guest(frame) if frame.call == shutdown));
    assert!(finished < stopped && stopped < done);
    assert_eq!(frames.last(), Some(&FromVm::Ended));
    assert_eq!(agent.exit_code(), Some(0));
}

#[test]
fn an_idle_machine_says_so_and_ends() {
    let mut agent = Agent::with(1, "work");
    let frames = agent.hear_to_the_end();
    let idle = |frame: &FromVm| {
        matches!(frame, FromVm::Logged(Record::MachineStopped { reason: StopReason::Idle, .. }))
    };
    assert!(frames.iter().any(idle) && frames.last() == Some(&FromVm::Ended));
    assert_eq!(agent.exit_code(), Some(0));
}

#[test]
fn a_machine_to_look_at_refuses_commands_and_stays() {
    let mut agent = Agent::with(1, "inspect");
    std::thread::sleep(Duration::from_millis(1_500));
    let call = agent.call(HostMessage::Exec(Box::new(shell("true"))));
    loop {
        match agent.hear() {
            FromVm::Guest(frame) if frame.call == call => {
                assert!(matches!(frame.message, GuestMessage::Failed(_)));
                break;
            }
            FromVm::Ended => panic!("it ended by itself"),
            _ => {}
        }
    }
    assert!(matches!(agent.ask(HostMessage::Status), GuestMessage::Status(_)));
}

#[test]
fn without_the_monitor_the_agent_ends_even_when_it_waits_for_room() {
    for line in ["sleep 60", "exec yes"] {
        let mut agent = Agent::start();
        agent.call(HostMessage::Exec(Box::new(shell(line))));
        std::thread::sleep(Duration::from_millis(200));
        agent.hang_up();
        assert_eq!(agent.exit_code(), Some(4), "{line}");
    }
}
