//! The repair of a failing test, from the checkout to an exported patch, by each host.

use serde_json::json;

use crate::{
    host::{Host, Ways},
    model::Talk,
    script::Script,
    stage::{BAD, GOOD, Stage, TEST},
    wire,
};

/// The whole story, in a workspace of this name.
pub(crate) fn story(name: &'static str) -> Script {
    let mut script = Script::new();
    script
        .call("workspace_create", json!({"name": name}), |got| {
            got.says(&[("name", "fix"), ("state", "running"), ("seed.files", "3")]);
            got.says(&[("seed.origin_kind", "checkout"), ("seed.dirty", "false")]);
        })
        .call("workspace_exec", json!({"workspace": name, "command": TEST}), |got| {
            got.says(&[("state", "exited"), ("exit_code", "1")]);
            assert!(got.verdict().contains("1"), "{}", got.verdict());
            let stderr = got.block("stderr");
            assert!(stderr.contains("AssertionError: -1 != 5"), "{stderr}");
            assert_eq!(got.block("stdout"), "");
        })
        .call("workspace_file_list", json!({"workspace": name}), |got| {
            let entries = got.rows("entries");
            assert!(entries.iter().any(|row| row.contains("path: calc.py")), "{entries:?}");
        })
        .call("workspace_file_read", json!({"workspace": name, "path": "calc.py"}), |got| {
            assert!(got.block("content").contains(BAD), "{}", got.whole);
        })
        .call(
            "workspace_file_edit",
            json!({"workspace": name, "path": "calc.py", "old_string": BAD, "new_string": GOOD}),
            |got| {
                got.says(&[("replacements", "1")]);
            },
        )
        .call("workspace_exec", json!({"workspace": name, "command": TEST}), |got| {
            got.says(&[("state", "exited"), ("exit_code", "0")]);
            assert!(got.block("stderr").contains("OK"), "{}", got.whole);
        })
        .call("workspace_diff", json!({"workspace": name}), |got| {
            got.says(&[("modified", "1"), ("insertions", "1"), ("deletions", "1")]);
            let patch = got.block("patch");
            assert!(patch.contains(&format!("\n-{BAD}\n+{GOOD}\n")), "{patch}");
        })
        .call(
            "workspace_export",
            json!({"workspace": name, "kind": "patch", "output": "fix.patch"}),
            |got| {
                got.says(&[("kind", "patch"), ("files", "1")]);
                assert!(got.field("host_path").ends_with("/fix.patch"), "{}", got.whole);
            },
        )
        .call("workspace_reset", json!({"workspace": name}), |got| {
            got.says(&[("name", "fix"), ("changed_files", "0")]);
        })
        .call("workspace_diff", json!({"workspace": name}), |got| {
            got.says(&[("modified", "0"), ("created", "0"), ("deleted", "0")]);
        })
        .call("workspace_delete", json!({"workspace": name}), |got| {
            assert!(got.verdict().contains("deleted"), "{}", got.whole);
        })
        .call("workspace_list", json!({}), |got| {
            assert!(got.rows("workspaces").is_empty(), "{}", got.whole);
        });
    script
}

/// The patch lies where the reply said, applies to the checkout, and repairs it.
#[track_caller]
pub(crate) fn the_patch_repairs(stage: &Stage, talk: &Talk) {
    stage.checkout_is_untouched();
    let export = talk.received.iter().find_map(|got| got.find("host_path")).unwrap();
    assert!(export.starts_with(stage.project().to_str().unwrap()), "{export}");
    stage.git(&["apply", "--check", &export]);
    stage.git(&["apply", &export]);
    let calc = std::fs::read_to_string(stage.project().join("calc.py")).unwrap();
    assert!(calc.contains(GOOD), "{calc}");
}

/// What the model is told before the first call.
#[track_caller]
fn the_surface_is_told(host: Host, talk: &Talk) {
    let first = &talk.turns[0];
    let tools = wire::tools_told(host, &talk.turns);
    let create = tools.iter().find(|tool| tool.name == "workspace_create");
    let create = create.unwrap_or_else(|| panic!("{tools:?}"));
    assert!(create.description.contains("/project"), "the source is named: {create:?}");
    assert!(create.schema["properties"].get("name").is_some(), "{create:?}");
    let told = first.to_string();
    for what in ["Work through these tools", "disposable, isolated workspaces", "workspace_create"]
    {
        assert!(told.contains(what), "the first turn does not say {what:?}: {told}");
    }
}

fn plays(host: Host, ways: &Ways) {
    let Some(stage) = Stage::new(&[host]) else { return };
    let talk = stage.play(host, ways, story("fix"));
    the_surface_is_told(host, &talk);
    the_patch_repairs(&stage, &talk);
}

#[test]
fn claude_repairs_a_test() {
    plays(Host::Claude, &Ways::default());
}

#[test]
fn codex_repairs_a_test() {
    plays(Host::Codex, &Ways::default());
}

#[test]
fn opencode_repairs_a_test() {
    plays(Host::Opencode, &Ways::default());
}
