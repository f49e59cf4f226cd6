//! Files that cannot be read, or should not be written, and callers at the same moment.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    time::{Duration, Instant},
};

use pyro_chat_hosts::ChatHostError;
use pyro_operations::chat_host::{ChatHost, ConnectionState};
use serde_json::{Value, json};

use crate::home::{Home, json_of, text};

fn claude() -> Value {
    json!({"chat_host": "claude-code"})
}

#[test]
fn a_broken_file_is_refused_with_its_line_and_repaired_with_a_copy() {
    for (host, file, broken, at) in [
        ("claude-code", ".claude.json", "{\n  \"a\": 1,\n  oops\n}\n", 3),
        ("codex", ".codex/config.toml", "a = 1\nb = \n", 2),
        ("opencode", ".config/opencode/opencode.json", "{\n  \"a\" 1\n}", 2),
    ] {
        let home = Home::new();
        let path = home.file(file, broken);
        let before = home.everything();
        let refused = home.connect(json!({"chat_host": host})).unwrap_err();
        assert!(
            matches!(&refused, ChatHostError::Malformed { path: found, line, .. } if *found == path && *line == at),
            "{refused:?}"
        );
        assert_eq!(home.everything(), before, "nothing was written");
        let chat_host: ChatHost = serde_json::from_value(json!(host)).unwrap();
        let row = home.row(chat_host);
        assert_eq!(row.state, ConnectionState::Drifted);
        assert!(row.problem.unwrap().contains("line"), "the line is told");
        let done = home.repair(json!({"chat_host": host})).unwrap();
        assert_eq!(done.backups.len(), 1);
        assert!(done.backups[0].contains(".pyro-backup-"));
        assert_eq!(fs::read_to_string(&done.backups[0]).unwrap(), broken);
        assert_eq!(home.row(chat_host).state, ConnectionState::Connected);
    }
}

#[test]
fn a_broken_file_of_somebody_who_never_connected_is_left_alone() {
    let home = Home::new();
    home.file(".claude.json", "{");
    let before = home.everything();
    home.repair(json!({})).unwrap();
    assert_eq!(home.everything(), before);
}

#[test]
fn a_projects_broken_file_does_not_keep_the_users_server_in() {
    let home = Home::new();
    home.connect(claude()).unwrap();
    home.project_file(".mcp.json", "{");
    let done = home.disconnect(claude()).unwrap();
    assert!(done.notices[0].contains("left alone"), "{done:?}");
    assert!(!home.user(".claude.json").exists());
}

#[test]
fn the_name_of_another_server_is_not_taken() {
    let home = Home::new();
    home.file(
        ".claude.json",
        "{\"mcpServers\": {\"pyro\": {\"command\": \"/opt/fire\", \"args\": []}}}",
    );
    let before = home.everything();
    let refused = home.connect(claude()).unwrap_err();
    assert!(matches!(refused, ChatHostError::Taken { .. }), "{refused:?}");
    assert!(home.disconnect(claude()).unwrap().changes.is_empty());
    let row = home.row(ChatHost::ClaudeCode);
    assert_eq!(row.state, ConnectionState::Missing);
    assert_eq!(row.mend.as_deref(), Some("pyro host connect claude-code --as NAME"));
    home.repair(json!({})).unwrap();
    assert_eq!(home.everything(), before);
    home.connect(json!({"chat_host": "claude-code", "name": "vm"})).unwrap();
    // Nor that of one which is elsewhere.
    let home = Home::new();
    home.file(
        ".claude.json",
        "{\"mcpServers\": {\"pyro\": {\"type\": \"http\", \"url\": \"https://x\"}}}",
    );
    let before = home.everything();
    assert!(home.connect(claude()).is_err());
    assert!(home.repair(claude()).unwrap().changes.is_empty());
    assert_eq!(home.everything(), before);
    // What somebody made of pyro's own is mended.
    let home = Home::new();
    home.connect(claude()).unwrap();
    home.file(".claude.json", "{\"mcpServers\": {\"pyro\": {\"args\": []}}}");
    home.repair(claude()).unwrap();
    assert_eq!(home.row(ChatHost::ClaudeCode).state, ConnectionState::Connected);
    // One that was pyro's all along is taken over, with what its user put beside.
    let home = Home::new();
    let file = home.file(
        ".claude.json",
        "{\"mcpServers\": {\"pyro\": {\"command\": \"pyro\", \"args\": [\"mcp\", \"serve\"], \"env\": {\"A\": \"b\"}}}}",
    );
    home.connect(claude()).unwrap();
    let entry = &json_of(&file)["mcpServers"]["pyro"];
    assert_eq!(entry["env"]["A"], "b");
    assert_eq!(entry["command"], home.here.binary.display().to_string());
    home.disconnect(claude()).unwrap();
    assert_eq!(json_of(&file), json!({"mcpServers": {}}));
}

#[test]
fn marks_line_ends_and_trailing_commas_stay() {
    for text in [
        "\u{feff}{\r\n  \"a\": 1,\r\n  \"mcpServers\": {\r\n    \"x\": {},\r\n  },\r\n}\r\n",
        "\u{feff}{}",
        "{\"a\": [1, 2, ], }",
        "\n\n",
        "",
    ] {
        let home = Home::new();
        let file = home.file(".claude.json", text);
        home.connect(claude()).unwrap();
        assert_eq!(home.row(ChatHost::ClaudeCode).state, ConnectionState::Connected);
        let connected = fs::read_to_string(&file).unwrap();
        assert_eq!(connected.starts_with('\u{feff}'), text.starts_with('\u{feff}'));
        if text.contains("\r\n") {
            assert_eq!(connected.matches('\n').count(), connected.matches("\r\n").count());
        }
        home.disconnect(claude()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let home = Home::new();
    home.file(".claude.json", "{\"mcpServers\": {}, \"mcpServers\": {\"x\": {}}}");
    let refused = home.connect(claude()).unwrap_err();
    assert!(
        matches!(&refused, ChatHostError::Key { key, .. } if key == "mcpServers"),
        "{refused:?}"
    );
    home.file(".claude.json", "{\"mcpServers\": []}");
    assert!(matches!(home.connect(claude()).unwrap_err(), ChatHostError::Key { .. }));
    home.file(".claude.json", "[]");
    assert!(home.connect(claude()).is_err());
}

#[test]
fn what_is_no_file_is_refused() {
    let home = Home::new();
    fs::create_dir(home.user(".claude.json")).unwrap();
    assert!(matches!(home.connect(claude()).unwrap_err(), ChatHostError::Unfit { .. }));
    assert_eq!(home.row(ChatHost::ClaudeCode).state, ConnectionState::Drifted);
    fs::remove_dir(home.user(".claude.json")).unwrap();
    symlink(".claude.json", home.user(".claude.json")).unwrap();
    assert!(matches!(home.connect(claude()).unwrap_err(), ChatHostError::File { .. }));
    fs::remove_file(home.user(".claude.json")).unwrap();
    symlink("nowhere/at/all", home.user(".claude.json")).unwrap();
    assert!(matches!(home.connect(claude()).unwrap_err(), ChatHostError::Unfit { .. }));
    fs::remove_file(home.user(".claude.json")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, home.user(".claude.json"), rustix::fs::Mode::RWXU)
        .unwrap();
    assert!(matches!(home.connect(claude()).unwrap_err(), ChatHostError::Unfit { .. }));
}

#[test]
fn a_file_that_is_read_only_is_not_written() {
    let home = Home::new();
    let file = home.file(".claude.json", "{}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let refused = home.connect(claude()).unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
    assert_eq!(text(&file), "{}");
    let left: Vec<_> = fs::read_dir(&home.here.user_home).unwrap().flatten().collect();
    let names: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains(".new")), "{names:?}");
}

#[test]
fn the_mode_of_a_file_and_a_link_to_it_stay() {
    let home = Home::new();
    let real = home.file("dotfiles/claude.json", "{}\n");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("dotfiles/claude.json", home.user(".claude.json")).unwrap();
    home.connect(claude()).unwrap();
    assert!(home.user(".claude.json").is_symlink());
    assert!(json_of(&real)["mcpServers"]["pyro"].is_object());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o7777, 0o640);
    let home = Home::new();
    home.connect(claude()).unwrap();
    let mode = fs::metadata(home.user(".claude.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_project_leads_nowhere_else_by_a_link() {
    let home = Home::new();
    let theirs = home.file("bashrc", "{}\n");
    symlink(&theirs, home.project(".mcp.json")).unwrap();
    symlink(&home.here.user_home, home.project(".claude")).unwrap();
    symlink(&home.here.user_home, home.project(".codex")).unwrap();
    let before = home.everything();
    let project = json!({"chat_host": "claude-code", "scope": "project"});
    for request in [
        project,
        json!({"chat_host": "claude-code", "only": true}),
        json!({"chat_host": "codex", "scope": "project"}),
    ] {
        let refused = home.connect(request).unwrap_err();
        assert!(refused.to_string().contains("out of the project"), "{refused}");
        assert_eq!(home.everything(), before);
    }
}

#[test]
fn a_projects_server_is_not_started_with_what_it_says() {
    let home = Home::new();
    let touched = home.root().join("touched");
    let evil = home.project_file("pyro", &format!("#!/bin/sh\ntouch {}\n", touched.display()));
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o755)).unwrap();
    let line = json!({"command": evil.display().to_string(), "args": ["mcp", "serve"]});
    let file = json!({"mcpServers": {"pyro": line}}).to_string();
    home.project_file(".mcp.json", &file);
    let row = home.row(ChatHost::ClaudeCode);
    assert_eq!(row.state, ConnectionState::Drifted, "{row:#?}");
    let line = json!({"command": "pyro", "args": ["mcp", "serve", "--home=/tmp/theirs"]});
    home.project_file(".mcp.json", &json!({"mcpServers": {"pyro": line}}).to_string());
    let report = home.doctor(claude());
    assert!(report.notices.iter().any(|n| n.contains("was not started")), "{report:#?}");
    assert!(report.hosts[0].server.is_none());
    assert!(!touched.exists());
}

#[test]
fn a_large_file_is_changed_and_an_absurd_one_is_not() {
    let home = Home::new();
    let row = format!("    \"{}\",\n", "x".repeat(100));
    let many = row.repeat(10_000_000 / row.len());
    let file =
        home.file(".claude.json", &format!("{{\n  \"history\": [\n{many}    \"\"\n  ]\n}}\n"));
    let before = text(&file);
    let begun = Instant::now();
    home.connect(claude()).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    assert!(text(&file).contains(&many));
    home.disconnect(claude()).unwrap();
    assert!(text(&file) == before, "not the same bytes");
    let large = fs::OpenOptions::new().write(true).open(&file).unwrap();
    large.set_len(17 << 20).unwrap();
    assert!(home.connect(claude()).unwrap_err().to_string().contains("larger than"));
}

#[test]
fn two_at_once_lose_nothing_of_each_other() {
    let home = Home::new();
    home.file(".codex/config.toml", "# mine\n");
    std::thread::scope(|scope| {
        for at in 0..8 {
            let (home, name) = (&home, format!("pyro{at}"));
            scope.spawn(move || {
                let mut here = home.here.clone();
                // Two homes of pyro: only the file's own lock is between them.
                here.records = home.root().join(format!("records{}", at % 2));
                let request = serde_json::from_value(json!({"chat_host": "codex", "name": name}));
                pyro_chat_hosts::connect(&here, &request.unwrap()).unwrap();
            });
        }
    });
    let text = text(&home.user(".codex/config.toml"));
    for at in 0..8 {
        assert!(text.contains(&format!("[mcp_servers.pyro{at}]")), "{text}");
    }
    assert!(text.starts_with("# mine\n"));
}

#[test]
fn without_a_record_the_server_goes_all_the_same() {
    let home = Home::new();
    home.connect(json!({"chat_host": "codex", "server": {"mode": "inspect"}})).unwrap();
    fs::remove_dir_all(&home.here.records).unwrap();
    let row = home.row(ChatHost::Codex);
    assert_eq!(row.state, ConnectionState::Connected, "{row:#?}");
    home.connect(json!({"chat_host": "codex", "name": "two"})).unwrap();
    let done = home.disconnect(json!({"chat_host": "codex"})).unwrap();
    assert!(!done.notices.is_empty());
    let text = text(&home.user(".codex/config.toml"));
    assert!(!text.contains("[mcp_servers.pyro]") && text.contains("[mcp_servers.two]"), "{text}");
}
