//! Hosts that `pyro host connect --only --allow` set up, and nobody else: the model reaches pyro, is
//! asked nothing, and is offered no shell and no file writing but pyro's.

use serde_json::{Value, json};

use crate::{
    host::{Host, Ways},
    script::Script,
    stage::Stage,
};

/// The names of the tools that the model was offered.
fn offered(turns: &[Value]) -> Vec<String> {
    let tools = turns.iter().flat_map(|turn| turn["tools"].as_array().into_iter().flatten());
    let name = |tool: &Value| {
        let names = [&tool["name"], &tool["function"]["name"], &tool["type"]];
        names.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned()
    };
    tools.map(name).collect()
}

#[track_caller]
fn story(host: Host, name: &str, own: &[&str]) {
    let Some(stage) = Stage::new(&[host]) else { return };
    if host == Host::Codex {
        // What Codex asks when it is first started in a project.
        let project = stage.project().canonicalize().unwrap();
        std::fs::create_dir_all(stage.home().join(".codex")).unwrap();
        let trust = format!("[projects.{}]\ntrust_level = \"trusted\"\n", json!(project));
        std::fs::write(stage.home().join(".codex/config.toml"), trust).unwrap();
    }
    let ways = Ways { connected: true, ..Ways::default() };
    let listed = || {
        let mut script = Script::new();
        script.call("workspace_list", json!({}), |got| assert!(!got.verdict().is_empty()));
        script
    };
    let plain = stage.json(&["host", "connect", name, "--allow"]);
    assert!(plain["changes"].is_array(), "{plain:#}");
    let with_own = offered(&stage.play(host, &ways, listed()).turns);
    for tool in own {
        assert!(with_own.iter().any(|found| found == tool), "{tool} in {with_own:?}");
    }
    let only = stage.json(&["host", "connect", name, "--allow", "--only"]);
    assert!(only["changes"].is_array(), "{only:#}");
    let without = offered(&stage.play(host, &ways, listed()).turns);
    for tool in own {
        assert!(!without.iter().any(|found| found == tool), "{tool} in {without:?}");
    }
    stage.json(&["host", "disconnect", name]);
    stage.checkout_is_untouched();
    assert_eq!(stage.git(&["status", "--porcelain", "--ignored"]), "", "connect left nothing");
}

#[test]
fn claude_code_has_pyros_tools_only() {
    story(Host::Claude, "claude-code", &["Bash", "Edit", "Write"]);
}

#[test]
fn codex_has_pyros_tools_only() {
    story(Host::Codex, "codex", &["exec_command", "write_stdin"]);
}

#[test]
fn opencode_has_pyros_tools_only() {
    story(Host::Opencode, "opencode", &["bash", "edit", "write"]);
}
