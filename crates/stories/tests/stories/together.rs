//! Two hosts and a person on one workspace at the same time.

use std::{sync::mpsc::channel, time::Duration};

use serde_json::json;

use crate::{
    host::{Host, Ways},
    script::Script,
    stage::Stage,
};

fn wait_for(file: &str) -> String {
    format!("until [ -e {file} ]; do sleep 0.02; done; cat {file}")
}

/// Claude Code waits for what Codex writes, Codex for what the person writes, and the person for
/// what Claude Code writes: each gets its own answers.
#[test]
fn claude_codex_and_a_person_share_a_workspace() {
    let Some(stage) = Stage::new(&[Host::Claude, Host::Codex]) else { return };
    let (created, wait) = channel();
    let mut first = Script::new();
    first
        .call("workspace_create", json!({"name": "shared"}), |got| {
            got.says(&[("name", "shared")]);
        })
        .call_with(
            "workspace_exec",
            move |_| {
                created.send(()).unwrap();
                json!({"workspace": "shared", "command": wait_for("from-codex"), "wait_s": 120})
            },
            |got| {
                got.says(&[("exit_code", "0")]);
                assert_eq!(got.block("stdout"), "codex was here\n");
            },
        )
        .call(
            "workspace_file_write",
            json!({"workspace": "shared", "path": "from-claude", "content": "claude was here\n"}),
            |got| {
                assert_eq!(got.rows("files").len(), 1, "{}", got.whole);
            },
        );
    let claude = stage.start(Host::Claude, &Ways::default(), first);
    wait.recv_timeout(Duration::from_secs(120)).unwrap();

    let mut second = Script::new();
    second
        .call("workspace_list", json!({}), |got| {
            assert_eq!(got.rows("workspaces").len(), 1, "{}", got.whole);
        })
        .call(
            "workspace_file_write",
            json!({"workspace": "shared", "path": "from-codex", "content": "codex was here\n"}),
            |got| {
                assert_eq!(got.rows("files").len(), 1, "{}", got.whole);
            },
        )
        .call(
            "workspace_exec",
            json!({"workspace": "shared", "command": wait_for("from-person"), "wait_s": 120}),
            |got| {
                assert_eq!(got.block("stdout"), "a person was here\n");
            },
        );
    let codex = stage.start(Host::Codex, &Ways::default(), second);
    let waited =
        stage.json(&["workspace", "exec", "shared", "--", "sh", "-c", &wait_for("from-claude")]);
    assert_eq!(waited["stdout"], "claude was here\n", "{waited}");
    let text = "a person was here\n";
    stage.cli(&["workspace", "file", "write", "shared", "from-person", "--text", text]);
    claude.finish();
    codex.finish();
    let diff = stage.json(&["workspace", "diff", "shared", "--stat"]);
    assert_eq!(diff["created"], 3, "{diff}");
}
