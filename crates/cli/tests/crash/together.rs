//! Several pyro processes at once on one workspace: each gets an answer that is true, none an
//! internal failure, and nothing is left over.

use std::process::{Child, Output, Stdio};

use serde_json::Value;

use crate::support::{Home, said};

fn start(home: &Home, arguments: &[&str]) -> Child {
    let mut command = home.pyro(&[&["--json"], arguments].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

#[track_caller]
fn all(children: Vec<Child>) -> Vec<Value> {
    children.into_iter().map(|child| answer(&child.wait_with_output().unwrap())).collect()
}

fn code(reply: &Value) -> &str {
    reply["error"]["code"].as_str().unwrap_or("done")
}

#[track_caller]
fn only(replies: &[Value], allowed: &[&str]) {
    for reply in replies {
        assert!(allowed.contains(&code(reply)), "{reply}");
        if reply.get("error").is_some() {
            assert!(!reply["error"]["hint"].as_str().unwrap_or_default().is_empty(), "{reply}");
        }
    }
}

#[test]
fn the_first_use_of_a_home() {
    let home = Home::new();
    let replies = all((0..4).map(|_| start(&home, &["run", "--", "echo", "said"])).collect());
    for reply in replies {
        assert_eq!(reply["stdout"], "said\n", "{reply}");
    }
    home.assert_only(&[]);
}

#[test]
fn two_creates_with_one_name() {
    let home = Home::new();
    for _ in 0..5 {
        let create = ["workspace", "create", "--seed-path", ".", "--name", "same"];
        let replies = all((0..3).map(|_| start(&home, &create)).collect());
        only(&replies, &["done", "already_exists"]);
        assert_eq!(replies.iter().filter(|reply| code(reply) == "done").count(), 1, "{replies:?}");
        home.assert_only(&["same"]);
        assert_eq!(home.sh("same", "cat kept.txt"), "seeded\n");
        home.ok(&["workspace", "delete", "same"]);
    }
    home.assert_only(&[]);
}

#[test]
fn two_deletes() {
    let home = Home::new();
    for _ in 0..5 {
        home.create("w");
        home.sh("w", "echo changed > kept.txt");
        let replies = all((0..3).map(|_| start(&home, &["workspace", "delete", "w"])).collect());
        only(&replies, &["done", "not_found", "busy"]);
        assert!(replies.iter().any(|reply| code(reply) == "done"), "{replies:?}");
        home.assert_only(&[]);
    }
}

#[test]
fn execs_from_several_doors() {
    let home = Home::new();
    home.create("w");
    let lines: Vec<String> =
        (0..6).map(|n| format!("sleep 0.1; echo {n}; echo {n} > {n}")).collect();
    let replies = all(lines
        .iter()
        .map(|line| start(&home, &["workspace", "exec", "w", "--", "sh", "-c", line]))
        .collect());
    for (n, reply) in replies.iter().enumerate() {
        assert_eq!(reply["stdout"], format!("{n}\n"), "{reply}");
    }
    assert_eq!(home.sh("w", "cat 0 1 2 3 4 5"), "0\n1\n2\n3\n4\n5\n");
    assert_eq!(home.ok(&["workspace", "logs", "w"])["execs"].as_array().unwrap().len(), 7);
}

#[test]
fn a_reset_while_a_command_runs() {
    let home = Home::new();
    home.create("w");
    for _ in 0..5 {
        let line = "echo begun > kept.txt; echo begun; sleep 1000";
        let exec = start(&home, &["workspace", "exec", "w", "--", "sh", "-c", line]);
        crate::support::wait_until("the command runs", || {
            home.sh("w", "cat kept.txt") == "begun\n"
        });
        home.ok(&["workspace", "reset", "w"]);
        let reply = answer(&exec.wait_with_output().unwrap());
        let state = reply["state"].as_str().unwrap_or("none");
        assert!(["cancelled", "lost"].contains(&state), "{reply}");
        assert_eq!(home.sh("w", "cat kept.txt"), "seeded\n");
        // Also while it is being reset: an answer, and a workspace that works afterwards.
        let mut both = vec![start(&home, &["workspace", "reset", "w"])];
        both.extend((0..3).map(|_| start(&home, &["workspace", "exec", "w", "--", "true"])));
        only(&all(both), &["done", "busy", "outcome_unknown"]);
        assert_eq!(home.sh("w", "cat kept.txt"), "seeded\n");
    }
    home.assert_only(&["w"]);
}

#[test]
fn a_delete_while_a_command_is_waited_for() {
    let home = Home::new();
    for _ in 0..5 {
        home.create("w");
        let exec =
            start(&home, &["workspace", "exec", "w", "--", "sh", "-c", "echo > ran; sleep 1000"]);
        crate::support::wait_until("the command runs", || home.sh("w", "ls").contains("ran"));
        let running = home.ok(&["workspace", "status", "w"]);
        let id = running["running_execs"][0].as_str().unwrap();
        let wait = start(&home, &["workspace", "exec-wait", "w", id]);
        home.ok(&["workspace", "delete", "w"]);
        for reply in all(vec![exec, wait]) {
            // Ended, or gone with its workspace, or asked for while that went.
            let ended = reply["state"] == "lost" || reply["state"] == "cancelled";
            let told = ["not_found", "busy", "outcome_unknown"].contains(&code(&reply));
            assert!(ended || told, "{reply}");
        }
        home.assert_only(&[]);
    }
}

#[test]
fn everything_on_a_workspace_that_is_being_deleted() {
    let home = Home::new();
    for _ in 0..6 {
        home.create("w");
        home.sh("w", "echo changed > kept.txt");
        let calls: &[&[&str]] = &[
            &["workspace", "delete", "w"],
            &["workspace", "exec", "w", "--", "cat", "kept.txt"],
            &["workspace", "file", "write", "w", "new", "--text", "x"],
            &["workspace", "diff", "w"],
            &["workspace", "status", "w"],
            &["workspace", "update", "w", "--label", "a=b"],
            &["workspace", "reset", "w"],
            &["workspace", "list"],
        ];
        let replies = all(calls.iter().map(|call| start(&home, call)).collect());
        for (call, reply) in calls.iter().zip(&replies) {
            let allowed = ["done", "not_found", "busy", "outcome_unknown"];
            assert!(allowed.contains(&code(reply)), "{call:?}: {reply}");
        }
        home.assert_only(&[]);
    }
}

#[test]
fn looks_and_commands_at_a_stopped_workspace() {
    let home = Home::new();
    home.create("w");
    home.sh("w", "echo changed > kept.txt");
    for _ in 0..5 {
        home.stop("w");
        let calls: &[&[&str]] = &[
            &["workspace", "diff", "w", "--stat"],
            &["workspace", "exec", "w", "--", "cat", "kept.txt"],
            &["workspace", "file", "read", "w", "kept.txt"],
            &["workspace", "exec", "w", "--", "cat", "kept.txt"],
            &["workspace", "file", "list", "w"],
            &["workspace", "diff", "w", "--stat"],
        ];
        let replies = all(calls.iter().map(|call| start(&home, call)).collect());
        for (call, reply) in calls.iter().zip(&replies) {
            assert_eq!(code(reply), "done", "{call:?}: {reply}");
            if call.contains(&"exec") {
                assert_eq!(reply["stdout"], "changed\n", "{reply}");
            }
        }
    }
}
