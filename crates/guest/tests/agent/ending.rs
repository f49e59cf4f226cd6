//! Ending commands and machines, also against workloads that do not want to end.

use std::{
    fs,
    time::{Duration, Instant},
};

use pyro_machine::Guest;
use pyro_model::{ExecId, ExecState};
use pyro_protocol::{
    GuestMessage, HostMessage,
    exec::{ExecStart, Follow},
    message::RefusalKind,
    spool::{Record, StopReason},
};

use crate::support::*;

fn stop(exec: &ExecId, grace_ms: u32) -> HostMessage {
    HostMessage::ExecStop { exec: exec.clone(), signal: 15, grace_ms }
}

fn finished(guest: &mut Guest, call: u32) -> pyro_protocol::exec::Finished {
    follow(guest, call).finished.unwrap()
}

/// Starts a command and waits for its first line.
fn start_and_read(guest: &mut Guest, command: ExecStart) -> (u32, u32, String) {
    let (call, pid) = start(guest, command);
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        match guest.receive(call, Some(Instant::now() + PATIENCE), None).unwrap() {
            GuestMessage::Output { bytes, .. } => line.extend_from_slice(&bytes),
            other => panic!("unexpected {other:?}"),
        }
    }
    (call, pid, String::from_utf8(line).unwrap().trim().to_owned())
}

fn finish(guest: &mut Guest, call: u32) -> pyro_protocol::exec::Finished {
    loop {
        match guest.receive(call, Some(Instant::now() + PATIENCE), None).unwrap() {
            GuestMessage::Finished(finished) => return finished,
            GuestMessage::Output { .. } => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[test]
fn a_timeout_ends_the_whole_tree() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let mut command = shell("sleep 60 & echo $!; wait");
    command.timeout_ms = 200;
    let said = run(&mut guest, command);
    let end = said.end();
    assert_eq!((end.state, end.exit_code, end.survivors), (ExecState::TimedOut, None, 0));
    assert!((200..2_000).contains(&end.duration_ms), "{}", end.duration_ms);
    assert!(!is_alive(said.text().trim().parse().unwrap()));
}

#[test]
fn a_stop_is_asked_first_and_cancelled_is_the_state() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let command = shell("trap 'echo asked; exit 5' TERM; echo up; while :; do sleep 0.05; done");
    let exec = command.exec.clone();
    let (call, ..) = start_and_read(&mut guest, command);
    let began = Instant::now();
    let stopped = ask(&mut agent.connect(), stop(&exec, 10_000));
    assert_eq!(stopped, GuestMessage::Stopped { survivors: 0 });
    assert!(began.elapsed() < Duration::from_secs(5), "it need not wait for the grace time");
    let end = finish(&mut guest, call);
    assert_eq!((end.state, end.exit_code, end.signal), (ExecState::Cancelled, None, None));
    assert_eq!(agent.spooled(&exec, pyro_model::OutputStream::Stdout), b"up\nasked\n");
    // A second stop of what is gone is fine.
    assert_eq!(ask(&mut guest, stop(&exec, 0)), GuestMessage::Stopped { survivors: 0 });
}

#[test]
fn one_that_ignores_the_signal_is_killed_after_the_grace_time() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let command = shell("trap '' TERM; echo up; while :; do sleep 0.05; done");
    let exec = command.exec.clone();
    let (call, pid, _) = start_and_read(&mut guest, command);
    let began = Instant::now();
    let mut other = agent.connect();
    assert_eq!(ask(&mut other, stop(&exec, 300)), GuestMessage::Stopped { survivors: 0 });
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(finish(&mut guest, call).state, ExecState::Cancelled);
    assert!(!is_alive(pid));
}

#[test]
fn a_stop_right_after_the_start_is_not_lost() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    for _ in 0..20 {
        let command = words(&["sleep", "60"]);
        let exec = command.exec.clone();
        let call = guest.send(HostMessage::Exec(Box::new(command))).unwrap();
        let began = Instant::now();
        assert_eq!(ask(&mut guest, stop(&exec, 8_000)), GuestMessage::Stopped { survivors: 0 });
        assert!(began.elapsed() < Duration::from_secs(4));
        let _ = call;
        let attach = HostMessage::ExecAttach { exec, follow: Follow::End };
        let GuestMessage::Finished(end) = ask(&mut guest, attach) else { panic!() };
        assert_eq!(end.state, ExecState::Cancelled);
    }
}

#[test]
fn daemons_in_sessions_of_their_own_are_found() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let line = "for n in 1 2 3; do setsid sh -c 'trap \"\" TERM HUP; (sleep 300 & echo $! >> pids) & \
                echo $$ >> pids; exec sleep 300' & done; \
                until [ \"$(wc -l < pids)\" = 6 ]; do sleep 0.02; done; echo up; sleep 300";
    let command = shell(line);
    let exec = command.exec.clone();
    fs::write(agent.path("workspace/pids"), "").unwrap();
    let (call, ..) = start_and_read(&mut guest, command);
    let pids: Vec<u32> = fs::read_to_string(agent.path("workspace/pids"))
        .unwrap()
        .lines()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    assert_eq!(ask(&mut agent.connect(), stop(&exec, 0)), GuestMessage::Stopped { survivors: 0 });
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "{pids:?}");
    assert_eq!(finish(&mut guest, call).survivors, 0);
}

#[test]
fn a_killed_supervisor_neither_loses_the_result_nor_hides_the_tree() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    // Its own process goes on and is heard.
    let said = run(&mut guest, shell("kill -KILL $PPID; sleep 0.2; echo on; exit 4"));
    assert_eq!(said.text(), "on\n");
    assert_eq!((said.end().state, said.end().exit_code), (ExecState::Exited, Some(4)));
    // And can be ended, with what it left to the agent.
    let line = "(setsid sleep 300 & echo $! > pid) ; kill -KILL $PPID; echo up; sleep 300";
    let command = shell(line);
    let exec = command.exec.clone();
    let (call, pid, _) = start_and_read(&mut guest, command);
    let stray: u32 =
        fs::read_to_string(agent.path("workspace/pid")).unwrap().trim().parse().unwrap();
    assert!(is_alive(stray));
    assert_eq!(ask(&mut agent.connect(), stop(&exec, 0)), GuestMessage::Stopped { survivors: 0 });
    assert_eq!(finish(&mut guest, call).state, ExecState::Cancelled);
    assert!(!is_alive(stray) && !is_alive(pid));
}

#[test]
fn a_stopped_supervisor_is_continued() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let said = run(&mut guest, shell("kill -STOP $PPID; sleep 0.1; exit 6"));
    assert_eq!(said.end().exit_code, Some(6));
}

#[test]
fn other_signals_do_not_reach_a_supervisor() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let line =
        "for s in HUP INT QUIT TERM USR1 USR2 ALRM SEGV ABRT; do kill -$s $PPID; done; exit 7";
    assert_eq!(run(&mut guest, shell(line)).end().exit_code, Some(7));
}

#[test]
fn a_signal_goes_to_the_commands_own_group() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let command = shell("trap 'echo got; exit 0' USR1; echo up; while :; do sleep 0.05; done");
    let exec = command.exec.clone();
    let (call, ..) = start_and_read(&mut guest, command);
    let mut other = agent.connect();
    let signal = |signal| HostMessage::ExecSignal { exec: exec.clone(), signal };
    assert_eq!(refused(&mut other, signal(0)).0, RefusalKind::Invalid);
    assert_eq!(refused(&mut other, signal(65)).0, RefusalKind::Invalid);
    assert_eq!(ask(&mut other, signal(10)), GuestMessage::Done);
    let end = finish(&mut guest, call);
    assert_eq!((end.state, end.exit_code), (ExecState::Exited, Some(0)));
    assert_eq!(refused(&mut other, signal(10)).0, RefusalKind::NotFound);
    let nobody = HostMessage::ExecSignal { exec: fresh_id(), signal: 10 };
    assert_eq!(refused(&mut other, nobody).0, RefusalKind::NotFound);
}

#[test]
fn a_fork_bomb_is_ended_or_ends_the_machine() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to take a user of its own");
        return;
    }
    let user = Some((61_234, 150));
    let mut agent = Agent::with(&Options { lowers: 1, user, ..Options::default() });
    until("it listens", || std::os::unix::net::UnixStream::connect(agent.path("sock")).is_ok());
    let mut guest = agent.connect();
    let mut command = shell("bomb() { bomb | bomb & bomb; }; bomb; bomb 2>/dev/null");
    command.timeout_ms = 700;
    command.follow = Follow::End;
    let call = guest.send(HostMessage::Exec(Box::new(command))).unwrap();
    let began = Instant::now();
    let end = finished_end(&mut guest, call);
    assert!(began.elapsed() < Duration::from_secs(5), "bounded");
    assert_eq!(end.state, ExecState::TimedOut);
    println!("a fork bomb leaves {} processes", end.survivors);
    if end.survivors == 0 {
        let said = run(&mut guest, shell("echo fine"));
        assert_eq!(said.text(), "fine\n");
    } else {
        assert_eq!(agent.exit_code(), Some(3));
        let last = agent.records().pop();
        let runaway = StopReason::Runaway;
        assert!(matches!(last, Some(Record::MachineStopped { reason, .. }) if reason == runaway));
    }
}

fn finished_end(guest: &mut Guest, call: u32) -> pyro_protocol::exec::Finished {
    loop {
        match guest.receive(call, Some(Instant::now() + PATIENCE), None).unwrap() {
            GuestMessage::Finished(finished) => return finished,
            GuestMessage::Started { .. } => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[test]
fn shutdown_ends_everything_and_says_so_in_the_log() {
    let mut agent = Agent::start();
    let mut guest = agent.connect();
    let (_, pid, _) = start_and_read(&mut guest, shell("trap '' TERM; echo up; sleep 300 & wait"));
    let (_, daemon, _) = start_and_read(&mut guest, shell("setsid sleep 300 & echo up; exit 0"));
    assert_eq!(ask(&mut agent.connect(), HostMessage::Shutdown), GuestMessage::Done);
    assert_eq!(agent.exit_code(), Some(0));
    assert!(!is_alive(pid) && !is_alive(daemon));
    let records = agent.records();
    let cancelled = records.iter().any(|record| {
        matches!(record, Record::ExecFinished { finished, .. }
            if finished.state == ExecState::Cancelled)
    });
    assert!(cancelled);
    let asked = StopReason::Asked;
    assert!(
        matches!(records.last(), Some(Record::MachineStopped { reason, .. }) if *reason == asked)
    );
}

#[test]
fn an_idle_machine_ends_and_a_running_command_is_use() {
    let mut agent = Agent::with(&Options { lowers: 1, idle_s: 1, ..Options::default() });
    let began = Instant::now();
    let mut guest = agent.connect();
    assert_eq!(run(&mut guest, shell("sleep 1.5")).end().exit_code, Some(0));
    assert_eq!(agent.exit_code(), Some(0));
    assert!(began.elapsed() >= Duration::from_millis(2_400), "{:?}", began.elapsed());
    let idle = StopReason::Idle;
    let last = agent.records().pop();
    assert!(matches!(last, Some(Record::MachineStopped { reason, .. }) if reason == idle));
}

#[test]
fn an_inspected_machine_runs_nothing_and_ends_with_its_last_connection() {
    let mut agent = Agent::with(&Options { lowers: 1, inspect: true, ..Options::default() });
    let mut guest = agent.connect();
    let second = agent.connect();
    let exec = HostMessage::Exec(Box::new(words(&["true"])));
    assert_eq!(refused(&mut guest, exec).0, RefusalKind::Invalid);
    drop(guest);
    let mut guest = second;
    assert!(matches!(ask(&mut guest, HostMessage::Status), GuestMessage::Status(_)));
    drop(guest);
    assert_eq!(agent.exit_code(), Some(0));
}

#[test]
fn status_counts_processes_and_names_what_runs() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let command = shell("sleep 300 & echo up; wait");
    let exec = command.exec.clone();
    start_and_read(&mut guest, command);
    let GuestMessage::Status(status) = ask(&mut agent.connect(), HostMessage::Status) else {
        panic!()
    };
    assert_eq!((status.processes, status.running, status.idle_ms), (2, vec![exec], 0));
}

#[test]
fn a_command_outlives_its_connection_and_is_found_again() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let command = shell("sleep 0.3; echo done; exit 9");
    let exec = command.exec.clone();
    start(&mut guest, command);
    drop(guest);
    let mut guest = agent.connect();
    let attach = HostMessage::ExecAttach {
        exec: exec.clone(),
        follow: Follow::Output { stdout: 0, stderr: 0 },
    };
    let call = guest.send(attach).unwrap();
    let said = follow(&mut guest, call);
    assert_eq!((said.text(), said.end().exit_code), ("done\n", Some(9)));
    assert_eq!(finished_again(&mut guest, &exec), *said.end());
    let nobody = HostMessage::ExecAttach { exec: fresh_id(), follow: Follow::End };
    assert_eq!(refused(&mut guest, nobody).0, RefusalKind::NotFound);
}

fn finished_again(guest: &mut Guest, exec: &ExecId) -> pyro_protocol::exec::Finished {
    let attach = HostMessage::ExecAttach { exec: exec.clone(), follow: Follow::End };
    let call = guest.send(attach).unwrap();
    finished(guest, call)
}
