//! Commands that outlast a host: one that takes longer than a host waits in silence, and hosts that
//! are killed while a command runs.

use std::{
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde_json::json;

use crate::{
    host::{Host, Ways},
    script::Script,
    stage::Stage,
};

/// Longer than opencode's 60 s without a word.
#[test]
fn a_long_command_keeps_opencode_waiting() {
    let Some(stage) = Stage::new(&[Host::Opencode]) else { return };
    let mut script = Script::new();
    script
        .call("workspace_create", json!({"name": "w", "no_seed": true}), |got| {
            got.says(&[("name", "w")]);
        })
        .call(
            "workspace_exec",
            json!({"workspace": "w", "command": "sleep 70; echo slept", "wait_s": 200}),
            |got| {
                got.says(&[("state", "exited"), ("exit_code", "0")]);
                assert_eq!(got.block("stdout"), "slept\n");
            },
        )
        .call("workspace_delete", json!({"workspace": "w"}), |got| {
            got.says(&[]);
        });
    stage.play(Host::Opencode, &Ways::default(), script);
}

/// The host is killed in the middle of a call: its server goes, the command goes on, and its result
/// is there for whoever asks.
fn is_killed(host: Host) {
    let Some(stage) = Stage::new(&[host]) else { return };
    let (created, wait) = channel();
    let mut script = Script::new();
    script.call("workspace_create", json!({"name": "w", "no_seed": true}), |got| {
        got.says(&[("name", "w")]);
    });
    let command = "echo > begun; until [ -e go ]; do sleep 0.02; done; echo ended";
    script.call_with(
        "workspace_exec",
        move |_| {
            created.send(()).unwrap();
            json!({"workspace": "w", "command": command, "wait_s": 200})
        },
        |got| panic!("the host was killed: {}", got.whole),
    );
    let mut playing = stage.start(host, &Ways::default(), script);
    wait.recv_timeout(Duration::from_secs(120)).unwrap();
    let begun = "until [ -e begun ]; do sleep 0.02; done";
    let output = stage.cli(&["workspace", "exec", "w", "--", "sh", "-c", begun]);
    assert!(output.status.success(), "{output:?}");

    let servers: Vec<_> = stage.room().processes().into_iter().filter(is_server).collect();
    let [(server, _)] = servers.as_slice() else { panic!("one server: {servers:?}") };
    let server = Pid::from_raw((*server).try_into().unwrap()).unwrap();
    let server = pidfd_open(server, PidfdFlags::empty()).unwrap();
    let killed = Instant::now();
    playing.kill();
    let most = Timespec { tv_sec: 5, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&server, PollFlags::IN)], Some(&most)).unwrap();
    assert_eq!(ended, 1, "the server lives on: {:?}", stage.room().processes());
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());

    let status = stage.json(&["workspace", "status", "w"]);
    assert_eq!(status["state"], "running", "{status}");
    let logs = stage.json(&["workspace", "logs", "w"]);
    let exec = logs["execs"].as_array().unwrap().iter().find(|exec| exec["command"] == command);
    let exec = exec.unwrap_or_else(|| panic!("{logs}"));
    assert_eq!(exec["state"], "running", "{logs}");
    stage.cli(&["workspace", "file", "write", "w", "go", "--text", ""]);
    let waited = stage.json(&["workspace", "exec-wait", "w", exec["exec_id"].as_str().unwrap()]);
    assert_eq!(
        (&waited["exit_code"], &waited["stdout"]),
        (&json!(0), &json!("ended\n")),
        "{waited}"
    );
}

fn is_server((_, line): &(u32, String)) -> bool {
    line.contains("/pyro mcp serve")
        && !["claude", "codex", "opencode"].iter().any(|host| line.contains(host))
}

#[test]
fn claude_is_killed_and_the_command_goes_on() {
    is_killed(Host::Claude);
}

#[test]
fn codex_is_killed_and_the_command_goes_on() {
    is_killed(Host::Codex);
}

#[test]
fn opencode_is_killed_and_the_command_goes_on() {
    is_killed(Host::Opencode);
}
