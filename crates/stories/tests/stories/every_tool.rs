//! Every tool that the server has, called at least once by each host. A tool that is new in the list
//! needs a step here: the test names it.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    host::{Host, Ways},
    script::Script,
    stage::{BAD, GOOD, Stage},
    wire,
};

const PATCH: &str = "--- a/README.md\n+++ b/README.md\n@@ -1,3 +1,3 @@\n # calc\n \n\
                     -Adds, or should.\n+Adds.\n";

fn every_tool() -> Script {
    let mut script = Script::new();
    commands(&mut script);
    files(&mut script);
    results(&mut script);
    script
}

fn commands(script: &mut Script) {
    script
        .call("environment_list", json!({}), |got| {
            assert!(got.rows("environments").iter().any(|row| row.contains("environment: host")));
        })
        .call("vm_run", json!({"command": "echo alone; pwd"}), |got| {
            got.says(&[("state", "exited"), ("exit_code", "0"), ("network.policy", "off")]);
            assert_eq!(got.block("stdout"), "alone\n/workspace\n");
        })
        .call(
            "workspace_create",
            json!({"name": "w", "environment": "host", "labels": {"issue": "4"}}),
            |got| {
                got.says(&[("state", "running"), ("environment", "host"), ("seed.files", "3")]);
            },
        )
        .call("workspace_list", json!({"labels": {"issue": "4"}}), |got| {
            let rows = got.rows("workspaces");
            assert!(rows.len() == 1 && rows[0].contains("name: w"), "{rows:?}");
        })
        .call("workspace_status", json!({"workspace": "w"}), |got| {
            got.says(&[("name", "w"), ("state", "running"), ("isolation", "container")]);
        })
        .call("workspace_update", json!({"workspace": "w", "labels": {"more": "x"}}), |got| {
            got.contains("issue").contains("more");
        })
        .call(
            "workspace_exec",
            json!({"workspace": "w", "command": "echo begun; sleep 300", "wait_s": 1}),
            |got| {
                got.says(&[("state", "running")]);
                assert_eq!(got.block("stdout"), "begun\n");
            },
        )
        .call_with(
            "workspace_exec_wait",
            |got| json!({"workspace": "w", "exec_id": got.last().unwrap().field("exec_id"), "wait_s": 1}),
            |got| {
                got.says(&[("state", "running")]);
            },
        )
        .call_with(
            "workspace_exec_stop",
            |got| json!({"workspace": "w", "exec_id": got.last().unwrap().field("exec_id")}),
            |got| {
                assert!(got.field("state") != "running", "{}", got.whole);
            },
        )
        .call("workspace_logs", json!({"workspace": "w"}), |got| {
            let rows = got.rows("execs");
            assert!(rows.len() == 1 && rows[0].contains("sleep 300"), "{rows:?}");
        });
}

fn files(script: &mut Script) {
    script
        .call("workspace_file_list", json!({"workspace": "w", "glob": "*.py"}), |got| {
            assert_eq!(got.rows("entries").len(), 2, "{}", got.whole);
        })
        .call("workspace_file_read", json!({"workspace": "w", "path": "calc.py"}), |got| {
            assert_eq!(got.block("content"), format!("def add(a, b):\n{BAD}\n"));
        })
        .call(
            "workspace_file_write",
            json!({"workspace": "w", "path": "new/ö.txt", "content": "é\n\"quoted\"\\\n\t$HOME\n"}),
            |got| {
                let rows = got.rows("files");
                assert!(rows.len() == 1 && rows[0].contains("change: created"), "{rows:?}");
            },
        )
        .call("workspace_file_read", json!({"workspace": "w", "path": "new/ö.txt"}), |got| {
            assert_eq!(got.block("content"), "é\n\"quoted\"\\\n\t$HOME\n");
        })
        .call("workspace_patch_apply", json!({"workspace": "w", "patch": PATCH}), |got| {
            let rows = got.rows("files");
            assert!(rows.len() == 1 && rows[0].contains("change: modified"), "{rows:?}");
        })
        // Spellings that models were trained on.
        .call(
            "workspace_file_edit",
            json!({"workspace": "w", "file_path": "calc.py", "oldString": BAD, "newString": GOOD}),
            |got| {
                got.says(&[("replacements", "1")]);
            },
        );
}

fn results(script: &mut Script) {
    script
        .call("workspace_diff", json!({"workspace": "w"}), |got| {
            got.says(&[("created", "1"), ("modified", "2"), ("deleted", "0")]);
            assert!(got.block("patch").contains("\n-Adds, or should.\n+Adds.\n"), "{}", got.whole);
        })
        .call(
            "workspace_export",
            json!({"workspace": "w", "path": "new/ö.txt", "output": "out.txt"}),
            |got| {
                let path = got.field("host_path");
                assert_eq!(std::fs::read_to_string(path).unwrap(), "é\n\"quoted\"\\\n\t$HOME\n");
            },
        )
        .call("workspace_reset", json!({"workspace": "w"}), |got| {
            got.says(&[("changed_files", "0")]);
        })
        .call("workspace_delete", json!({"workspace": "w"}), |got| {
            assert!(got.verdict().contains("deleted"), "{}", got.whole);
        });
}

fn plays(host: Host) {
    let Some(stage) = Stage::new(&[host]) else { return };
    let script = every_tool();
    let called: BTreeSet<String> = script.tools().into_iter().map(str::to_owned).collect();
    let ways = Ways { server: vec!["--profile", "workspace-full"], ..Ways::default() };
    let talk = stage.play(host, &ways, script);
    let seen = wire::tools_told(host, &talk.turns);
    let mut seen: BTreeSet<String> = seen.into_iter().map(|tool| tool.name).collect();
    // What is not of the core, Claude Code keeps back until the model searches for it.
    seen.extend(wire::tools_named(host, &talk.turns));
    let missing: Vec<_> = seen.difference(&called).collect();
    assert!(missing.is_empty(), "no step calls {missing:?}");
    assert_eq!(seen, called);
    stage.checkout_is_untouched();
}

#[test]
fn claude_calls_every_tool() {
    plays(Host::Claude);
}

#[test]
fn codex_calls_every_tool() {
    plays(Host::Codex);
}

#[test]
fn opencode_calls_every_tool() {
    plays(Host::Opencode);
}
