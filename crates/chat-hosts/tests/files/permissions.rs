//! What `--only` and `--allow` write, what they leave, and the chat host's own command.

use std::fs;

use pyro_operations::chat_host::{ChatHost, ConnectionState};
use serde_json::json;

use crate::home::{Home, json_of, text};

#[test]
fn tools_are_denied_and_allowed_in_each_ones_own_words() {
    let home = Home::new();
    for host in ["claude-code", "codex", "opencode"] {
        let done = home.connect(json!({"chat_host": host, "only": true, "allow": true})).unwrap();
        assert!(done.changes.len() >= 3, "every change is told: {:#?}", done.changes);
        let keys: Vec<&String> = done.changes.iter().map(|change| &change.key).collect();
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].iter().any(|k| key.starts_with(&format!("{k}."))), "{keys:?}");
        }
    }
    assert_eq!(
        json_of(&home.project(".claude/settings.local.json")),
        json!({"permissions": {"deny": ["Bash", "Edit", "Write", "NotebookEdit"]}})
    );
    assert_eq!(
        json_of(&home.user(".claude/settings.json")),
        json!({"permissions": {"allow": ["mcp__pyro"]}})
    );
    let project = text(&home.project(".codex/config.toml"));
    assert_eq!(project, "sandbox_mode = \"read-only\"\n\n[features]\nshell_tool = false\n");
    let user = text(&home.user(".codex/config.toml"));
    assert!(user.contains("default_tools_approval_mode = \"approve\"\n"), "{user}");
    assert_eq!(
        json_of(&home.project("opencode.json"))["permission"],
        json!({"bash": "deny", "edit": "deny"})
    );
    assert_eq!(
        json_of(&home.user(".config/opencode/opencode.jsonc"))["permission"],
        json!({"pyro_*": "allow"})
    );
}

#[test]
fn a_projects_server_is_approved_in_that_project_only() {
    let home = Home::new();
    home.connect(json!({"chat_host": "claude-code", "scope": "project", "allow": true})).unwrap();
    assert_eq!(
        json_of(&home.project(".claude/settings.local.json")),
        json!({"permissions": {"allow": ["mcp__pyro"]}, "enabledMcpjsonServers": ["pyro"]})
    );
    assert!(!home.user(".claude").exists());
}

#[test]
fn a_plain_permission_stays_what_it_was_for_the_rest() {
    let home = Home::new();
    let file = home.project_file("opencode.json", "{\n  \"permission\": \"ask\"\n}\n");
    home.connect(json!({"chat_host": "opencode", "only": true})).unwrap();
    assert_eq!(json_of(&file)["permission"], json!({"*": "ask", "bash": "deny", "edit": "deny"}));
    // Also when somebody wrote in between.
    fs::write(&file, text(&file).replacen('{', "{\n  \"theme\": \"t\",", 1)).unwrap();
    home.disconnect(json!({"chat_host": "opencode"})).unwrap();
    assert_eq!(json_of(&file), json!({"theme": "t", "permission": "ask"}));
}

#[test]
fn what_the_person_denied_already_stays_denied_afterwards() {
    let home = Home::new();
    let file = home.project_file(
        ".claude/settings.local.json",
        "{\"permissions\": {\"deny\": [\"Bash\"], \"ask\": []}}\n",
    );
    home.connect(json!({"chat_host": "claude-code", "only": true})).unwrap();
    fs::write(&file, format!("{}\n", text(&file))).unwrap();
    home.disconnect(json!({"chat_host": "claude-code"})).unwrap();
    assert_eq!(json_of(&file), json!({"permissions": {"deny": ["Bash"], "ask": []}}));
}

#[test]
fn without_only_and_allow_a_second_connect_takes_them_back() {
    for host in ["claude-code", "codex", "opencode"] {
        let home = Home::new();
        home.connect(json!({"chat_host": host})).unwrap();
        let plain = home.everything();
        home.connect(json!({"chat_host": host, "only": true, "allow": true})).unwrap();
        home.connect(json!({"chat_host": host})).unwrap();
        let back = home.everything();
        let names =
            |all: &std::collections::BTreeMap<_, _>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&back), names(&plain), "{host}");
        let chat_host: ChatHost = serde_json::from_value(json!(host)).unwrap();
        let row = home.row(chat_host);
        assert_eq!((row.state, row.only, row.allow), (ConnectionState::Connected, false, false));
    }
}

#[test]
fn permissions_that_are_gone_are_drift_and_are_repaired() {
    let home = Home::new();
    home.connect(json!({"chat_host": "claude-code", "only": true, "allow": true})).unwrap();
    fs::write(home.project(".claude/settings.local.json"), "{}\n").unwrap();
    let row = home.row(ChatHost::ClaudeCode);
    assert_eq!(row.state, ConnectionState::Drifted);
    assert!(row.differences.iter().all(|d| d.key == "permissions.deny"), "{row:#?}");
    home.repair(json!({})).unwrap();
    let row = home.row(ChatHost::ClaudeCode);
    assert_eq!((row.state, row.only, row.allow), (ConnectionState::Connected, true, true));
}

#[test]
fn own_tools_are_denied_in_projects_only() {
    let mut home = Home::new();
    home.here.cwd = home.here.user_home.clone();
    let before = home.everything();
    assert!(home.connect(json!({"chat_host": "claude-code", "only": true})).is_err());
    assert_eq!(home.everything(), before);
}

#[test]
fn the_chat_hosts_own_command_says_how_its_entry_looks() {
    let home = Home::new();
    let log = home.root().join("log");
    home.program(
        "codex",
        &format!(
            "#!/bin/sh\necho \"$@\" >> {}\necho \"$HOME $CODEX_HOME\" >> {}\n\
             printf '[mcp_servers.pyro]\\ncommand = \"%s\"\\nargs = [\"mcp\", \"serve\"]\\nstartup_timeout_sec = 9\\n' \"$5\" > \"$CODEX_HOME/config.toml\"\n",
            log.display(),
            log.display()
        ),
    );
    let done = home.connect(json!({"chat_host": "codex"})).unwrap();
    assert_eq!(done.made_by, "codex mcp add");
    let text = text(&home.user(".codex/config.toml"));
    assert!(text.contains("startup_timeout_sec = 9"), "{text}");
    let log = crate::home::text(&log);
    let asked = format!("mcp add pyro -- {} mcp serve", home.here.binary.display());
    assert!(log.starts_with(&asked), "{log}");
    assert!(!log.contains(&*home.here.user_home.to_string_lossy()), "not in the real home: {log}");
    // One that writes something else, fails or hangs is not followed.
    home.disconnect(json!({"chat_host": "codex"})).unwrap();
    for script in ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho 'x = 1' > \"$CODEX_HOME/config.toml\"\n"]
    {
        home.program("codex", script);
        let done = home.connect(json!({"chat_host": "codex"})).unwrap();
        assert_eq!(done.made_by, "pyro");
        home.disconnect(json!({"chat_host": "codex"})).unwrap();
    }
}
