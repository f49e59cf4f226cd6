//! Failures as each host hands them to the model: the code, the message and the hint that names
//! what to do next. And what Codex does with tools that nobody approved.

use serde_json::{Value, json};

use crate::{
    host::{Host, Ways},
    script::Script,
    stage::{BAD, GOOD, Stage},
};

/// A call that fails so: with this code, a message with these words and a hint with those.
fn fails(
    script: &mut Script,
    tool: &'static str,
    arguments: Value,
    code: &'static str,
    says: &'static str,
    hints: &'static str,
) {
    script.call(tool, arguments, move |got| {
        let (found, message, hint) = got.failure();
        assert_eq!(found, code, "{}", got.whole);
        assert!(message.contains(says), "{says:?} is not in {message:?}");
        assert!(hint.contains(hints), "{hints:?} is not in {hint:?}");
    });
}

fn mistakes() -> Script {
    let mut script = Script::new();
    let s = &mut script;
    s.call("workspace_create", json!({"name": "w"}), |got| {
        got.says(&[("name", "w")]);
    });
    let unknown = json!({"workspace": "w", "comand": "true"});
    fails(s, "workspace_exec", unknown, "invalid_argument", "comand", "command, cwd");
    let wrong = json!({"workspace": "w", "command": ["true"]});
    fails(s, "workspace_exec", wrong, "invalid_argument", "command", "");
    let missing = json!({"workspace": "w"});
    fails(s, "workspace_exec", missing, "invalid_argument", "command", "");
    let nowhere = json!({"workspace": "nobody", "command": "true"});
    fails(s, "workspace_exec", nowhere, "not_found", "nobody", "workspace_list");
    let withheld = json!({"name": "v", "cpus": 2});
    fails(s, "workspace_create", withheld, "invalid_argument", "cpus", "no_seed");
    let again = json!({"name": "w"});
    fails(s, "workspace_create", again, "already_exists", "w", "");
    let absent =
        json!({"workspace": "w", "path": "calc.py", "old_string": "no such", "new_string": ""});
    fails(s, "workspace_file_edit", absent, "conflict", "", "workspace_file_read");
    let patch =
        "--- a/calc.py\n+++ b/calc.py\n@@ -1,2 +1,2 @@\n def add(a, b):\n-    pass\n+    x\n";
    let conflict = json!({"workspace": "w", "patch": patch});
    fails(s, "workspace_patch_apply", conflict, "conflict", "calc.py", "workspace_file_read");
    let outside = json!({"workspace": "w", "path": "../../etc/passwd"});
    fails(s, "workspace_file_read", outside, "path_escapes", "", "");
    let outside = json!({"name": "x", "seed_path": "/etc"});
    fails(s, "workspace_create", outside, "not_permitted", "/etc", "");
    let none = json!({"workspace": "w", "path": "none.txt"});
    fails(s, "workspace_file_read", none, "not_found", "none.txt", "workspace_file_list");
    s.call("workspace_delete", json!({"workspace": "w"}), |got| {
        got.says(&[]);
    });
    script
}

fn plays(host: Host) {
    let Some(stage) = Stage::new(&[host]) else { return };
    stage.play(host, &Ways::default(), mistakes());
    stage.checkout_is_untouched();
}

#[test]
fn claude_hands_on_failures() {
    plays(Host::Claude);
}

#[test]
fn codex_hands_on_failures() {
    plays(Host::Codex);
}

#[test]
fn opencode_hands_on_failures() {
    plays(Host::Opencode);
}

/// Reading and changing a workspace goes unasked by the annotations alone; what may destroy work is
/// asked for, and `codex exec` has nobody to ask.
#[test]
fn codex_lets_harmless_tools_run_and_asks_for_the_others() {
    let Some(stage) = Stage::new(&[Host::Codex]) else { return };
    let mut script = Script::new();
    script
        .call("workspace_create", json!({"name": "w"}), |got| {
            got.says(&[("name", "w")]);
        })
        .call("workspace_exec", json!({"workspace": "w", "command": "echo x > x"}), |got| {
            got.says(&[("exit_code", "0")]);
        })
        .call(
            "workspace_file_edit",
            json!({"workspace": "w", "path": "calc.py", "old_string": BAD, "new_string": GOOD}),
            |got| {
                got.says(&[("replacements", "1")]);
            },
        )
        .call("workspace_file_read", json!({"workspace": "w", "path": "calc.py"}), |got| {
            assert!(got.block("content").contains(GOOD));
        })
        .call("workspace_diff", json!({"workspace": "w", "stat": true}), |got| {
            got.says(&[("modified", "1")]);
        })
        .call("workspace_export", json!({"workspace": "w", "kind": "patch"}), |got| {
            got.says(&[("kind", "patch")]);
        });
    for tool in ["workspace_reset", "workspace_delete"] {
        script.call(tool, json!({"workspace": "w"}), |got| {
            assert!(got.whole.contains("approval"), "{}", got.whole);
        });
    }
    let ways = Ways { unapproved: true, ..Ways::default() };
    stage.play(Host::Codex, &ways, script);
    let diff = stage.json(&["workspace", "diff", "w", "--stat"]);
    assert_eq!(diff["modified"], 1, "nothing was reset or deleted: {diff}");
}
