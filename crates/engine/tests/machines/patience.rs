//! Commands and the patience of callers: waiting, timing out, stopping, following, and how much of
//! an output a reply holds.

use std::sync::{Arc, Mutex};

use proptest::{collection::vec, prelude::*};
use pyro_engine::Live;
use pyro_operations::Code;
use serde_json::{Value, json};

use super::support::{Home, text, wait_until};

/// The whole kept output of a command, put together from its parts.
fn output(home: &Home, workspace: &str, exec: &str, stream: &str) -> String {
    let mut offset = 0;
    let mut output = String::new();
    loop {
        let reply = home.ok(
            "workspace_logs",
            json!({"workspace": workspace, "exec_id": exec, "stream": stream, "offset": offset}),
        );
        assert!(reply.to_string().chars().count() <= 45_000);
        output.push_str(reply["output"].as_str().unwrap());
        if reply["eof"] == true {
            return output;
        }
        offset = reply["next_offset"].as_u64().unwrap();
    }
}

#[test]
fn a_command_outlasts_its_caller_and_is_taken_up_by_another() {
    let home = Home::new();
    let workspace = home.create_empty();
    let line = "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 4";
    let reply =
        home.ok("workspace_exec", json!({"workspace": workspace, "command": line, "wait_s": 0}));
    assert_eq!(reply["state"], "running", "{reply}");
    assert!(reply.get("exit_code").is_none(), "never invented: {reply}");
    assert_eq!(reply["next"]["tool"], "workspace_exec_wait");
    let exec = text(&reply["exec_id"]);
    let other = home.another();
    let wait = |wait_s: u64| {
        let request = json!({"workspace": workspace, "exec_id": exec, "wait_s": wait_s});
        other.call_json("workspace_exec_wait", &request, &home.context()).unwrap()
    };
    assert_eq!(wait(0)["state"], "running");
    home.sh(&workspace, "touch go");
    let reply = wait(20);
    assert_eq!((&reply["state"], &reply["exit_code"]), (&json!("exited"), &json!(4)), "{reply}");
    assert_eq!(reply["stdout"], "one\ntwo\n");
    // Again and again the same.
    let again = wait(0);
    assert_eq!((&again["stdout"], &again["exit_code"]), (&reply["stdout"], &reply["exit_code"]));
}

#[test]
fn a_command_over_its_time_is_ended_with_all_that_it_started() {
    let home = Home::new();
    let workspace = home.create_empty();
    let reply = home.ok(
        "workspace_exec",
        json!({
            "workspace": workspace,
            "command": "echo begun; (setsid sleep 1000 &) ; setsid -f sleep 1000; sleep 1000",
            "timeout_s": 1,
        }),
    );
    assert_eq!(reply["state"], "timed_out", "{reply}");
    assert!(reply.get("exit_code").is_none(), "{reply}");
    assert_eq!(reply["stdout"], "begun\n");
    assert_eq!(home.sh(&workspace, "ps -e -o comm= | grep -c sleep || true"), "0\n");
}

#[test]
fn a_command_that_is_stopped() {
    let home = Home::new();
    let workspace = home.create_empty();
    for (line, signal) in [
        ("echo begun; sleep 1000", None),
        ("trap '' TERM INT; echo begun; while :; do sleep 0.01; done", Some("KILL")),
    ] {
        let reply = home
            .ok("workspace_exec", json!({"workspace": workspace, "command": line, "wait_s": 0}));
        let exec = text(&reply["exec_id"]);
        let mut stop = json!({"workspace": workspace, "exec_id": exec});
        if let Some(signal) = signal {
            stop["signal"] = json!(signal);
        }
        let reply = home.ok("workspace_exec_stop", stop.clone());
        assert!(["cancelled", "signaled"].contains(&reply["state"].as_str().unwrap()), "{reply}");
        assert_eq!(home.sh(&workspace, "ps -e -o comm= | grep -c sleep || true"), "0\n");
        // Once more does no harm.
        let again = home.ok("workspace_exec_stop", stop);
        assert_eq!(again["state"], reply["state"]);
    }
}

#[test]
fn output_is_heard_in_order_while_it_comes() {
    let home = Home::new();
    let workspace = home.create_empty();
    let heard = Arc::new(Mutex::new((Vec::new(), Vec::new(), false)));
    let mut context = home.context();
    let sink = Arc::clone(&heard);
    context.live = Some(Arc::new(move |live| {
        let mut heard = sink.lock().unwrap();
        match live {
            Live::Started(_) => {
                assert!(heard.0.is_empty());
                heard.2 = true;
            }
            Live::Output(stream, bytes) => {
                assert!(heard.2, "output before the start");
                match stream.as_str() {
                    "stdout" => heard.0.extend_from_slice(bytes),
                    _ => heard.1.extend_from_slice(bytes),
                }
            }
        }
    }));
    let line = "for n in $(seq 1 3000); do echo $n; echo e$n >&2; done; cat /dev/zero | head -c 3000000 | tr '\\0' x";
    let request = json!({"workspace": workspace, "command": line});
    let reply = home.engine.call_json("workspace_exec", &request, &context).unwrap();
    let heard = heard.lock().unwrap();
    let mut wanted: String = (1..=3000).map(|n| format!("{n}\n")).collect();
    wanted.push_str(&"x".repeat(3_000_000));
    assert!(heard.0 == wanted.as_bytes(), "{} bytes heard", heard.0.len());
    let wanted: String = (1..=3000).map(|n| format!("e{n}\n")).collect();
    assert!(heard.1 == wanted.as_bytes());
    assert_eq!(reply["stdout_bytes"], heard.0.len());
}

#[test]
fn a_flood_is_bounded_and_counted_exactly() {
    let home = Home::new();
    let workspace = home.create_empty();
    let total: u64 = 100 << 20;
    let line = format!("echo first; head -c {total} /dev/zero | tr '\\0' y; echo; echo last");
    let reply = home.exec(&workspace, &line);
    assert_eq!(reply["exit_code"], 0);
    assert_eq!(reply["stdout_bytes"], total + 12, "{}", reply["verdict"]);
    assert!(reply.to_string().chars().count() <= 20_000);
    let stdout = reply["stdout"].as_str().unwrap();
    assert!(stdout.starts_with("first\n") && stdout.ends_with("last\n"));
    let omitted = reply["omitted"][0]["bytes"].as_u64().unwrap();
    assert!(omitted > total - 20_000, "{omitted}");
    let spool = home.home().join("workspaces").join(&workspace).join("spool");
    let kept: u64 = std::fs::read_dir(spool)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(kept <= (64 << 20) + (1 << 20), "{kept} bytes are kept");
    // What was not kept is said.
    let part = home.ok(
        "workspace_logs",
        json!({"workspace": workspace, "exec_id": reply["exec_id"], "offset": total / 2}),
    );
    assert!(part["notices"][0].as_str().unwrap().contains("not kept"), "{}", part["verdict"]);
}

#[test]
fn a_run_that_takes_longer_than_its_caller() {
    let home = Home::new();
    let line = "echo one; sleep 0.3; echo two";
    let reply = home.ok("vm_run", json!({"command": line, "wait_s": 0}));
    assert_eq!(reply["state"], "running", "{reply}");
    let (workspace, exec) = (text(&reply["workspace"]), text(&reply["exec_id"]));
    assert_eq!(home.records().len(), 1);
    let other = home.another();
    let request = json!({"workspace": workspace, "exec_id": exec});
    let reply = other.call_json("workspace_exec_wait", &request, &home.context()).unwrap();
    assert_eq!(reply["stdout"], "one\ntwo\n", "{reply}");
    home.assert_nothing_is_left();
    home.refused("workspace_exec_wait", request, Code::NotFound);
}

#[test]
fn a_run_that_is_stopped_or_cancelled_goes() {
    let home = Home::new();
    let reply = home.ok("vm_run", json!({"command": "sleep 1000", "wait_s": 0}));
    home.ok(
        "workspace_exec_stop",
        json!({"workspace": reply["workspace"], "exec_id": reply["exec_id"]}),
    );
    home.assert_nothing_is_left();
    for leaves in [false, true] {
        let mut context = home.context();
        context.detach = leaves;
        let cancel = context.cancel.clone();
        context.live = Some(Arc::new(move |live| {
            if matches!(live, Live::Output(..)) {
                cancel.cancel();
            }
        }));
        let request = json!({"command": "echo begun; sleep 0.5; echo done"});
        let failure = home.engine.call_json("vm_run", &request, &context).unwrap_err();
        assert_eq!(failure.code, Code::Cancelled);
        if leaves {
            // The caller only went away: the command goes on, and its end is found.
            let workspace = text(&home.records()[0]["workspace"]);
            let logs = home.ok("workspace_logs", json!({ "workspace": workspace }));
            let request = json!({"workspace": workspace, "exec_id": logs["execs"][0]["exec_id"]});
            let reply = home.ok("workspace_exec_wait", request);
            assert_eq!(reply["stdout"], "begun\ndone\n", "{reply}");
        }
        home.assert_nothing_is_left();
    }
}

#[test]
fn a_run_that_nobody_came_for_goes() {
    let home = Home::new();
    home.ok("vm_run", json!({"command": "sleep 0.05", "wait_s": 0}));
    assert_eq!(home.records().len(), 1);
    // As if it was long ago: its machine has stopped by itself.
    let database = rusqlite::Connection::open(home.home().join("pyro.db")).unwrap();
    database.execute("UPDATE workspaces SET idle_ttl_s = 0", []).unwrap();
    home.kill_machine(&text(&home.records()[0]["workspace"]));
    wait_until("it is swept", || home.records().is_empty(), String::new);
    home.assert_nothing_is_left();
}

#[test]
fn a_machine_that_dies_loses_its_command_and_says_so() {
    let home = Home::new();
    let workspace = home.create_empty();
    let reply = home.ok(
        "workspace_exec",
        json!({"workspace": workspace, "command": "echo begun > file; sleep 1000", "wait_s": 0}),
    );
    wait_until("it runs", || home.sh(&workspace, "cat file || true") == "begun\n", String::new);
    home.kill_machine(&workspace);
    let request = json!({"workspace": workspace, "exec_id": reply["exec_id"]});
    let reply = home.ok("workspace_exec_wait", request);
    assert_eq!(reply["state"], "lost", "{reply}");
    // The next command starts it again, with the files as they were.
    let reply = home.exec(&workspace, "cat file");
    assert_eq!((&reply["started"], &reply["stdout"]), (&json!(true), &json!("begun\n")), "{reply}");
}

/// As a VM's monitor writes it down; whoever writes there may be taken over, so it is bounded.
#[test]
fn a_machine_that_ended_by_itself_says_why_until_it_is_started_again() {
    let home = Home::new();
    let workspace = home.create_empty();
    let line = "echo up; sleep 600";
    let reply =
        home.ok("workspace_exec", json!({"workspace": workspace, "command": line, "wait_s": 0}));
    home.kill_machine(&workspace);
    let why = format!("its kernel panicked\n\u{1b}[31m{}", "x".repeat(5_000));
    let at_ms = pyro_model::Timestamp::now().0;
    let mut record = Vec::new();
    pyro_protocol::spool::encode_record(
        &pyro_protocol::spool::Record::MachineFailed { at_ms, why },
        &mut record,
    )
    .unwrap();
    let events = home.home().join("workspaces").join(&workspace).join("spool/events");
    let mut events = std::fs::File::options().append(true).open(events).unwrap();
    std::io::Write::write_all(&mut events, &record).unwrap();
    let status = || home.ok("workspace_status", json!({"workspace": workspace}));
    let reason = text(&status()["state_reason"]);
    assert!(reason.starts_with("the machine ended: its kernel panicked"), "{reason}");
    assert!(reason.len() < 600 && !reason.contains(['\n', '\u{1b}']), "{reason}");
    let request = json!({"workspace": workspace, "exec_id": reply["exec_id"]});
    assert_eq!(home.ok("workspace_exec_wait", request)["state"], "lost");
    home.sh(&workspace, "true");
    assert!(status().get("state_reason").is_none());
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 1..400),
        2 => vec(0u8..0x20, 1..400),
        2 => "\\PC{1,200}".prop_map(String::into_bytes),
        2 => "[a-z \"\\\\\n]{1,300}".prop_map(String::into_bytes),
        1 => Just("😀\u{85}\u{2028}é".repeat(40).into_bytes()),
        1 => Just(vec![0xff; 500]),
    ]
}

/// A stream of those pieces, again and again.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    (vec(piece(), 0..6), 1usize..40)
        .prop_map(|(pieces, times)| pieces.concat().repeat(times))
        .prop_map(|mut bytes| {
            bytes.truncate(200_000);
            bytes
        })
}

#[test]
fn a_reply_is_never_longer_than_asked_for_and_the_logs_have_the_rest() {
    let home = Home::new();
    let seed = home.path("seed");
    let deep = seed.join("directory ".repeat(20)).join("\"quoted\"".repeat(20));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("file"), "").unwrap();
    let workspace = home.create(&seed);
    let deep = deep.strip_prefix(&seed).unwrap().to_str().unwrap().to_owned();
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() };
    proptest!(config, |(
        out in stream(), err in stream(), most in 1_000usize..45_000, at_depth in any::<bool>(),
        fails in any::<bool>(),
    )| {
        std::fs::write(home.path("out"), &out).unwrap();
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        for (name, bytes) in [("out", &out), ("err", &err)] {
            home.ok("workspace_file_write", json!({
                "workspace": workspace, "path": name, "encoding": "base64",
                "content": STANDARD.encode(bytes),
            }));
        }
        let reply = home.ok("workspace_exec", json!({
            "workspace": workspace, "max_output_chars": most,
            "command": format!("cat /workspace/out; cat /workspace/err >&2; exit {}", u8::from(fails)),
            "cwd": if at_depth { deep.as_str() } else { "." },
        }));
        let characters = reply.to_string().chars().count();
        prop_assert!(characters <= most, "{characters} of {most}: {reply}");
        prop_assert_eq!(&reply["stdout_bytes"], &json!(out.len()));
        prop_assert_eq!(&reply["stderr_bytes"], &json!(err.len()));
        let exec = text(&reply["exec_id"]);
        prop_assert_eq!(output(&home, &workspace, &exec, "stdout"), lossy(&out));
        prop_assert_eq!(output(&home, &workspace, &exec, "stderr"), lossy(&err));
        told(&reply, "stdout", &out)?;
        told(&reply, "stderr", &err)?;
    });
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Head and tail are what they say they are.
fn told(reply: &Value, stream: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let shown = reply[stream].as_str().unwrap();
    let omitted = reply["omitted"].as_array().into_iter().flatten();
    match omitted.into_iter().find(|row| row["stream"] == stream) {
        None => prop_assert_eq!(shown, lossy(bytes)),
        Some(row) => {
            let number = |key: &str| usize::try_from(row[key].as_u64().unwrap()).unwrap();
            let (at, length) = (number("offset"), number("bytes"));
            let head = lossy(&bytes[..at]);
            prop_assert!(shown.starts_with(&head), "{}: {}", stream, row);
            prop_assert!(shown.ends_with(&lossy(&bytes[at + length..])), "{}: {}", stream, row);
        }
    }
    Ok(())
}
