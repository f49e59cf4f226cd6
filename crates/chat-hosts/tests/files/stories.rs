//! From connect to disconnect, for each chat host and scope.

use std::fs;

use pyro_operations::chat_host::{ChatHost, ConnectionState};
use serde_json::json;

use crate::home::{Home, json_of, text};

const HOSTS: [&str; 3] = ["claude-code", "codex", "opencode"];

/// Files as people have them: comments, other servers, an order of their own.
fn furnish(home: &Home) {
    home.file(
        ".claude.json",
        "{\n  \"numStartups\": 3,\n  \"mcpServers\": {\n    \"other\": {\"command\": \"x\"}\n  },\n  \"last\": true\n}\n",
    );
    home.file(
        ".codex/config.toml",
        "# mine\nmodel = \"m\" # why\n\n[mcp_servers.other] # theirs\ncommand = \"x\"\n# inside\n\n[tui]\ntheme = \"t\"\n",
    );
    home.file(
        ".config/opencode/opencode.jsonc",
        "// mine\n{\n  \"theme\": \"t\", // why\n  \"mcp\": {\n    // theirs\n    \"other\": {\"type\": \"local\", \"command\": [\"x\"]},\n  },\n}\n",
    );
    home.file(".claude/settings.json", "{\"permissions\": {\"allow\": [\"Read\"]}}");
    home.project_file("opencode.json", "{\"permission\": \"ask\"}\n");
}

#[test]
fn what_connecting_changed_is_undone_to_the_byte() {
    for furnished in [false, true] {
        for host in HOSTS {
            for scope in ["user", "project"] {
                for (only, allow) in [(false, false), (true, true)] {
                    let home = Home::new();
                    if furnished {
                        furnish(&home);
                    }
                    let before = home.everything();
                    let request = json!({"chat_host": host, "scope": scope, "only": only,
                        "allow": allow, "server": {"mode": "inspect", "max_cpus": 2}});
                    let done = home.connect(request.clone()).unwrap();
                    assert!(!done.changes.is_empty());
                    let connected = home.everything();
                    let again = home.connect(request).unwrap();
                    assert!(again.changes.is_empty(), "{:?}", again.changes);
                    assert_eq!(home.everything(), connected, "twice is once");
                    let row = home.doctor(json!({"chat_host": host})).hosts.remove(0);
                    assert_eq!(row.state, ConnectionState::Connected, "{row:#?}");
                    assert_eq!((row.only, row.allow), (only, allow), "{row:#?}");
                    home.disconnect(json!({"chat_host": host})).unwrap();
                    assert_eq!(home.everything(), before, "{host} {scope} {only} {furnished}");
                    let again = home.disconnect(json!({"chat_host": host})).unwrap();
                    assert!(again.changes.is_empty() && again.verdict.contains("was not"));
                }
            }
        }
    }
}

#[test]
fn what_others_wrote_since_stays() {
    for host in HOSTS {
        let home = Home::new();
        furnish(&home);
        home.connect(json!({"chat_host": host, "only": true, "allow": true})).unwrap();
        let edit = |path: &std::path::Path, from: &str, to: &str| {
            if let Ok(text) = fs::read_to_string(path) {
                fs::write(path, text.replacen(from, to, 1)).unwrap();
            }
        };
        edit(&home.user(".claude.json"), "\"last\": true", "\"last\": false");
        edit(&home.user(".codex/config.toml"), "theme = \"t\"", "theme = \"u\" # new");
        edit(&home.user(".config/opencode/opencode.jsonc"), "\"t\"", "\"u\"");
        edit(&home.project(".claude/settings.local.json"), "\"Bash\"", "\"WebFetch\", \"Bash\"");
        let row = home.row(serde_json::from_value(json!(host)).unwrap());
        assert_eq!(row.state, ConnectionState::Connected, "{row:#?}");
        home.disconnect(json!({"chat_host": host})).unwrap();
        for (file, kept) in [
            (".claude.json", "\"other\": {\"command\": \"x\"}"),
            (".codex/config.toml", "[mcp_servers.other] # theirs\ncommand = \"x\"\n# inside\n"),
            (".config/opencode/opencode.jsonc", "// theirs\n"),
        ] {
            let text = text(&home.user(file));
            assert!(text.contains(kept), "{host}: {text}");
            assert!(!text.contains("pyro"), "{host}: {text}");
        }
        if host == "claude-code" {
            let left = json_of(&home.project(".claude/settings.local.json"));
            assert_eq!(left, json!({"permissions": {"deny": ["WebFetch"]}}));
        }
    }
}

#[test]
fn a_moved_pyro_is_found_and_repaired_with_every_flag() {
    for host in HOSTS {
        let mut home = Home::new();
        furnish(&home);
        let project = home.here.cwd.clone();
        let request = json!({"chat_host": host, "only": true, "allow": true, "server": {
            "profile": "workspace-full", "project_path": ".", "allow_paths": ["sub"],
            "environment": "debian:12", "machine": "microvm", "max_workspaces": 3}});
        let connected = home.connect(request).unwrap();
        assert_eq!(connected.command[0], home.root().join("bin/pyro").display().to_string());
        assert!(connected.command.contains(&format!("--project-path={}", project.display())));
        let moved = home.root().join("bin/pyro-moved");
        fs::rename(home.root().join("bin/pyro"), &moved).unwrap();
        home.here.binary = moved.clone();
        let chat_host: ChatHost = serde_json::from_value(json!(host)).unwrap();
        let report = home.doctor(json!({"chat_host": host}));
        let row = &report.hosts[0];
        assert!(!report.healthy);
        assert_eq!(row.state, ConnectionState::Drifted);
        assert_eq!(row.differences.len(), 1, "{row:#?}");
        assert!(row.differences[0].wanted.as_ref().unwrap().contains("pyro-moved"));
        assert_eq!(row.mend.as_deref(), Some(format!("pyro host repair {host}").as_str()));
        home.repair(json!({})).unwrap();
        let row = home.row(chat_host);
        assert_eq!(row.state, ConnectionState::Connected, "{row:#?}");
        assert_eq!(row.command[0], moved.display().to_string());
        assert_eq!(row.command[1..], connected.command[1..], "every flag is kept");
        assert!(row.only && row.allow);
    }
}

#[test]
fn flags_that_were_taken_out_come_back_and_flags_that_were_put_in_stay() {
    let home = Home::new();
    home.connect(json!({"chat_host": "codex", "server": {"mode": "inspect", "max_cpus": 2}}))
        .unwrap();
    let file = home.user(".codex/config.toml");
    let edited = text(&file).replace("\"--mode=inspect\"", "\"--environment\", \"debian:12\"");
    fs::write(&file, edited).unwrap();
    let row = home.row(ChatHost::Codex);
    assert_eq!(row.state, ConnectionState::Drifted);
    assert_eq!(row.differences[0].key, "mcp_servers.pyro.args");
    home.repair(json!({"chat_host": "codex"})).unwrap();
    let text = text(&file);
    for flag in ["--mode=inspect", "--max-cpus=2", "--environment=debian:12"] {
        assert!(text.contains(flag), "{text}");
    }
    assert_eq!(home.row(ChatHost::Codex).state, ConnectionState::Connected);
    home.repair(json!({"chat_host": "codex", "server": {"mode": "repro-fix"}})).unwrap();
    assert!(home.row(ChatHost::Codex).command.contains(&"--mode=repro-fix".to_owned()));
}

#[test]
fn an_entry_that_is_gone_or_switched_off_comes_back() {
    for host in HOSTS {
        let home = Home::new();
        furnish(&home);
        let chat_host: ChatHost = serde_json::from_value(json!(host)).unwrap();
        home.connect(json!({"chat_host": host, "server": {"mode": "inspect"}})).unwrap();
        furnish(&home);
        let row = home.row(chat_host);
        assert_eq!(row.state, ConnectionState::Missing, "{row:#?}");
        home.repair(json!({})).unwrap();
        let row = home.row(chat_host);
        assert_eq!(row.state, ConnectionState::Connected, "{row:#?}");
        assert!(row.command.contains(&"--mode=inspect".to_owned()));
    }
    let home = Home::new();
    home.connect(json!({"chat_host": "codex"})).unwrap();
    let file = home.user(".codex/config.toml");
    fs::write(&file, format!("{}enabled = false\n", text(&file))).unwrap();
    assert_eq!(home.row(ChatHost::Codex).state, ConnectionState::Drifted);
    home.repair(json!({})).unwrap();
    assert_eq!(home.row(ChatHost::Codex).state, ConnectionState::Connected);
}

#[test]
fn several_servers_have_names_of_their_own() {
    let home = Home::new();
    furnish(&home);
    let before = home.everything();
    home.connect(json!({"chat_host": "claude-code"})).unwrap();
    home.connect(
        json!({"chat_host": "claude-code", "name": "look", "server": {"mode": "inspect"}}),
    )
    .unwrap();
    let rows = home.doctor(json!({"chat_host": "claude-code"})).hosts;
    let names: Vec<_> = rows.iter().map(|row| row.name.clone().unwrap()).collect();
    assert_eq!(names, ["look", "pyro"]);
    assert!(rows.iter().all(|row| row.state == ConnectionState::Connected), "{rows:#?}");
    home.disconnect(json!({"chat_host": "claude-code"})).unwrap();
    let left = json_of(&home.user(".claude.json"));
    assert!(left["mcpServers"]["pyro"].is_null() && left["mcpServers"]["look"].is_object());
    home.disconnect(json!({"chat_host": "claude-code", "name": "look"})).unwrap();
    let same = home.everything().keys().eq(before.keys());
    assert!(same);
    let left = json_of(&home.user(".claude.json"));
    assert_eq!(left["mcpServers"], json!({"other": {"command": "x"}}));
}

#[test]
fn a_server_that_does_not_answer_is_no_connection() {
    let home = Home::new();
    home.connect(json!({"chat_host": "codex"})).unwrap();
    home.program("pyro", "#!/bin/sh\necho 'home is not writable' >&2\nexit 1\n");
    let row = home.row(ChatHost::Codex);
    assert_eq!(row.state, ConnectionState::Drifted);
    assert!(row.problem.as_ref().unwrap().contains("home is not writable"), "{row:#?}");
    assert!(row.mend.unwrap().starts_with("run `"));
}

#[test]
fn pins_and_places_follow_the_variables() {
    let mut home = Home::new();
    let elsewhere = home.root().join("elsewhere");
    for name in ["CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME"] {
        home.here.variables.insert(name.into(), elsewhere.join(name).into());
    }
    home.here.pyro_home = elsewhere.join("home");
    home.here.pyro_config = Some(elsewhere.join("config.toml"));
    for host in HOSTS {
        let done = home.connect(json!({"chat_host": host, "allow": true})).unwrap();
        assert!(done.file.starts_with(&*elsewhere.to_string_lossy()), "{}", done.file);
        assert_eq!(done.command[3], format!("--home={}", elsewhere.join("home").display()));
        assert_eq!(
            done.command[4],
            format!("--config={}", elsewhere.join("config.toml").display())
        );
        let chat_host = serde_json::from_value(json!(host)).unwrap();
        assert_eq!(home.row(chat_host).state, ConnectionState::Connected);
    }
    assert!(elsewhere.join("CLAUDE_CONFIG_DIR/settings.json").is_file());
}

#[test]
fn a_projects_file_names_plain_pyro_and_paths_within() {
    let home = Home::new();
    let done = home
        .connect(json!({"chat_host": "claude-code", "scope": "project",
            "server": {"project_path": "sub", "allow_paths": ["/opt"]}}))
        .unwrap();
    let entry = &json_of(&home.project(".mcp.json"))["mcpServers"]["pyro"];
    assert_eq!(entry["command"], "pyro");
    assert_eq!(entry["args"], json!(["mcp", "serve", "--project-path=./sub", "--allow-path=/opt"]));
    assert_eq!(done.notices.len(), 1, "it asks each person: {:?}", done.notices);
    fs::remove_file(home.root().join("bin/pyro")).unwrap();
    let done = home.connect(json!({"chat_host": "opencode", "scope": "project"})).unwrap();
    assert!(done.notices[0].contains("PATH"), "{:?}", done.notices);
    let row = home.row(ChatHost::Opencode);
    assert_eq!(row.state, ConnectionState::Drifted);
    assert!(row.problem.unwrap().contains("PATH"));
}

#[test]
fn configuration_is_printed_and_nothing_is_written() {
    let home = Home::new();
    let before = home.everything();
    let claude = home.printed(json!({"chat_host": "claude-code", "only": true, "allow": true}));
    for word in ["mcpServers", "mcp__pyro", "NotebookEdit"] {
        assert!(claude.contains(word), "{claude}");
    }
    let codex = home.printed(json!({"chat_host": "codex", "server": {"mode": "inspect"}}));
    assert!(codex.starts_with("[mcp_servers.pyro]\ncommand = "), "{codex}");
    let opencode = home.printed(json!({"chat_host": "opencode"}));
    assert!(opencode.contains("\"type\": \"local\""), "{opencode}");
    let generic = home.printed(json!({"chat_host": "generic", "name": "vm"}));
    let generic: serde_json::Value = serde_json::from_str(&generic).unwrap();
    assert_eq!(generic["mcpServers"]["vm"]["args"], json!(["mcp", "serve"]));
    assert_eq!(home.everything(), before);
}

#[test]
fn a_chat_host_that_is_not_here_is_not_to_be_mended() {
    let mut home = Home::new();
    home.here.variables.insert("PATH".into(), home.root().join("bin").into());
    let report = home.doctor(json!({}));
    assert!(report.healthy, "{report:#?}");
    assert_eq!(report.hosts.len(), 3);
    assert!(report.hosts.iter().all(|row| row.state == ConnectionState::Unavailable));
    home.program("codex", "#!/bin/sh\necho codex-cli 1.2.3\n");
    let row = home.row(ChatHost::Codex);
    assert_eq!(row.state, ConnectionState::Missing);
    assert_eq!(row.version.as_deref(), Some("codex-cli 1.2.3"));
    assert_eq!(row.mend.as_deref(), Some("pyro host connect codex"));
}
