//! Commands: how they are started, what they write, how they end.

use std::fs;

use pyro_model::{ExecState, OutputStream};
use pyro_protocol::{
    GuestMessage, HostMessage,
    exec::{ExecStart, Follow, Program},
    message::RefusalKind,
    spool::Record,
};

use crate::support::*;

#[test]
fn a_command_says_what_it_writes_and_how_it_ended() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let said = run(&mut guest, shell("echo out; echo err >&2; exit 3"));
    assert_eq!(said.text(), "out\n");
    assert_eq!(said.stderr, b"err\n");
    let end = said.end();
    assert_eq!((end.state, end.exit_code, end.signal), (ExecState::Exited, Some(3), None));
    assert_eq!((end.stdout_bytes, end.stderr_bytes, end.survivors), (4, 4, 0));
    assert!(said.pid.is_some());
    assert_eq!(agent.spooled(&end.exec, OutputStream::Stdout), b"out\n");
    let records = agent.records();
    assert!(matches!(records[0], Record::MachineStarted { .. }));
    assert!(matches!(&records[1], Record::ExecStarted { exec, .. } if *exec == end.exec));
    assert!(matches!(&records[2], Record::ExecFinished { finished, .. } if finished == end));
}

#[test]
fn a_silent_command_leaves_no_file() {
    let agent = Agent::start();
    let said = run(&mut agent.connect(), words(&["true"]));
    assert_eq!(said.end().exit_code, Some(0));
    assert_eq!(fs::read_dir(agent.path("spool")).unwrap().count(), 1, "only the log");
}

#[test]
fn words_are_arguments_and_the_environment_is_exactly_the_one_given() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let said = run(&mut guest, words(&["printf", "%s|", "a b", "$HOME", "*"]));
    assert_eq!(said.text(), "a b|$HOME|*|");
    let mut start = words(&["env"]);
    start.environment.push(("GREETING".to_owned(), "hello\nthere".to_owned()));
    let said = run(&mut guest, start);
    assert_eq!(said.text(), "PATH=/usr/local/bin:/usr/bin:/bin\nGREETING=hello\nthere\n");
}

#[test]
fn a_command_starts_in_its_directory_with_its_input_and_no_other_descriptor() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    fs::create_dir(agent.path("workspace/below")).unwrap();
    let mut start = shell("pwd; cat; ls /proc/self/fd | tr '\\n' ' '; umask");
    start.cwd = "/workspace/below".to_owned();
    start.stdin = Some(b"input\n".to_vec());
    let said = run(&mut guest, start);
    let below = agent.path("workspace/below");
    // 3 is the directory that `ls` has open.
    assert_eq!(said.text(), format!("{}\ninput\n0 1 2 3 0022\n", below.display()));
    let said = run(&mut guest, shell("cat; grep -E 'Sig(Blk|Ign)' /proc/self/status"));
    assert_eq!(said.text(), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

#[test]
fn what_cannot_be_run_is_said_as_a_shell_says_it() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let said = run(&mut guest, words(&["no-such-program", "x"]));
    assert_eq!(said.end().exit_code, Some(127));
    assert_eq!(said.stderr, b"no-such-program: command not found\n");
    fs::write(agent.path("workspace/plain"), "no program").unwrap();
    let said = run(&mut guest, words(&["./plain"]));
    assert_eq!(said.end().exit_code, Some(126));
    assert_eq!(said.stderr, b"./plain: permission denied\n");
    let said = run(&mut guest, words(&["./nothing"]));
    assert_eq!(said.end().exit_code, Some(127));
    let said = run(&mut guest, shell("no-such-program"));
    assert_eq!(said.end().exit_code, Some(127));
    assert!(String::from_utf8_lossy(&said.stderr).contains("command not found"));
}

#[test]
fn a_script_without_a_first_line_is_run_by_the_shell() {
    let agent = Agent::start();
    let script = agent.path("workspace/script");
    fs::write(&script, "echo run with $1\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let said = run(&mut agent.connect(), words(&["./script", "care"]));
    assert_eq!(said.text(), "run with care\n");
}

#[test]
fn requests_that_make_no_sense_are_refused_before_anything_starts() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let mut cases: Vec<(ExecStart, RefusalKind)> = Vec::new();
    let mut case = |kind, change: &dyn Fn(&mut ExecStart)| {
        let mut start = words(&["true"]);
        change(&mut start);
        cases.push((start, kind));
    };
    case(RefusalKind::NotFound, &|start| start.cwd = "/workspace/nowhere".to_owned());
    case(RefusalKind::WrongType, &|start| start.cwd = "/etc/passwd".to_owned());
    case(RefusalKind::Invalid, &|start| start.cwd = "relative".to_owned());
    case(RefusalKind::Invalid, &|start| start.program = Program::Words(vec![]));
    case(RefusalKind::Invalid, &|start| start.program = Program::Shell("a\0b".to_owned()));
    case(RefusalKind::Invalid, &|start| start.kept_bytes = 1);
    case(RefusalKind::Invalid, &|start| {
        start.environment.push(("A=B".to_owned(), String::new()));
    });
    case(RefusalKind::TooLarge, &|start| start.stdin = Some(vec![0; (1 << 20) + 1]));
    case(RefusalKind::TooLarge, &|start| start.line = "x".repeat((128 << 10) + 1));
    for (start, kind) in cases {
        let (got, message) = refused(&mut guest, HostMessage::Exec(Box::new(start)));
        assert_eq!(got, kind, "{message}");
    }
    assert_eq!(agent.records().len(), 1, "nothing was started");
    let start = words(&["true"]);
    run(&mut guest, start.clone());
    let (kind, _) = refused(&mut guest, HostMessage::Exec(Box::new(start)));
    assert_eq!(kind, RefusalKind::Invalid, "an id is used once");
}

#[test]
fn a_signal_of_its_own_is_how_it_ended() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let said = run(&mut guest, shell("kill -SEGV $$"));
    let end = said.end();
    assert_eq!((end.state, end.exit_code, end.signal), (ExecState::Signaled, None, Some(11)));
}

#[test]
fn the_end_does_not_wait_for_what_was_left_behind() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    let began = std::time::Instant::now();
    let line = "(sleep 0.3; echo late; sleep 30) & echo now $!";
    let said = run(&mut guest, shell(line));
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
    assert!(said.text().starts_with("now "));
    assert_eq!(said.end().exit_code, Some(0));
    let left: u32 = said.text().trim().rsplit(' ').next().unwrap().parse().unwrap();
    // It can still write, and that is kept, but is no part of the command's total.
    let exec = said.end().exec.clone();
    until("the late line is spooled", || {
        agent.spooled(&exec, OutputStream::Stdout).ends_with(b"late\n")
    });
    assert!(is_alive(left));
    let attach = HostMessage::ExecAttach {
        exec: exec.clone(),
        follow: Follow::Output { stdout: 0, stderr: 0 },
    };
    let call = guest.send(attach).unwrap();
    let again = follow(&mut guest, call);
    assert_eq!(again.stdout, said.stdout);
    assert_eq!(again.finished, said.finished);
    // Stopping a command that is over ends what it left behind.
    let stop = HostMessage::ExecStop { exec, signal: 15, grace_ms: 0 };
    assert_eq!(ask(&mut guest, stop), GuestMessage::Stopped { survivors: 0 });
    assert!(!is_alive(left));
}
