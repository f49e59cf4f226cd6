//! The same call fails the same way through the command line, MCP and the SDK.

#![expect(clippy::unwrap_used, reason = "tests")]

mod home;

use std::{io::Write, process::Stdio};

use home::Home;
use pyro::{Client, Settings};
use serde_json::{Value, json};

/// What each case is asked through each door: the tool with its arguments, and the command.
fn cases() -> Vec<(&'static str, Value, Vec<&'static str>)> {
    vec![
        ("workspace_status", json!({"workspace": "nope"}), vec!["workspace", "status", "nope"]),
        (
            "workspace_exec",
            json!({"workspace": "nope", "command": "true"}),
            vec!["workspace", "exec", "nope", "--", "true"],
        ),
        (
            "workspace_file_read",
            json!({"workspace": "nope", "path": "a"}),
            vec!["workspace", "file", "read", "nope", "a"],
        ),
        ("workspace_list", json!({"limit": 0}), vec!["workspace", "list", "--limit", "0"]),
        (
            "workspace_create",
            json!({"no_seed": true, "repo_url": "https://example.invalid/x"}),
            vec!["workspace", "create", "--no-seed", "--repo-url", "https://example.invalid/x"],
        ),
        (
            "workspace_file_edit",
            json!({"workspace": "w", "path": "a", "old_string": "x", "new_string": "x"}),
            vec!["workspace", "file", "edit", "w", "a", "--old-string", "x", "--new-string", "x"],
        ),
        (
            "workspace_export",
            json!({"workspace": "w", "kind": "path"}),
            vec!["workspace", "export", "w", "--kind", "path"],
        ),
        (
            "vm_run",
            json!({"command": "true", "environment": "no-such-environment"}),
            vec!["run", "no-such-environment", "--", "true"],
        ),
        ("workspace_delete", json!({"workspace": "nope"}), vec!["workspace", "delete", "nope"]),
        ("workspace_reset", json!({"workspace": "nope"}), vec!["workspace", "reset", "nope"]),
        ("workspace_diff", json!({"workspace": "nope"}), vec!["workspace", "diff", "nope"]),
    ]
}

fn through_mcp(home: &Home, cases: &[(&str, Value, Vec<&str>)]) -> Vec<Value> {
    let mut child = home
        .pyro(&["mcp", "serve", "--profile", "workspace-full"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let hello = json!({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    }});
    writeln!(stdin, "{hello}").unwrap();
    writeln!(stdin, "{}", json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        .unwrap();
    for (at, (tool, arguments, _)) in cases.iter().enumerate() {
        let call = json!({"jsonrpc": "2.0", "id": at, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments}});
        writeln!(stdin, "{call}").unwrap();
    }
    let mut failures = vec![Value::Null; cases.len()];
    let mut left = cases.len();
    for line in std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap())) {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if let Some(at) = message["id"].as_u64() {
            failures[usize::try_from(at).unwrap()] =
                message["result"]["structuredContent"]["error"].clone();
            left -= 1;
        }
        if left == 0 {
            break;
        }
    }
    drop(stdin);
    child.wait().unwrap();
    failures
}

#[test]
fn the_same_failure_through_all_three_doors() {
    let home = Home::new();
    let cases = cases();
    let by_mcp = through_mcp(&home, &cases);
    let client = Client::open(Settings { home: home.path(), ..Settings::default() }).unwrap();
    for ((name, arguments, typed), by_mcp) in cases.iter().zip(by_mcp) {
        let context = client.context().unwrap();
        let by_sdk = client.call_json(name, arguments, &context).unwrap_err();
        let by_sdk = serde_json::to_value(by_sdk).unwrap();
        let by_command = home.json(typed)["error"].clone();
        assert!(by_sdk["code"].is_string(), "{name}");
        assert_eq!(by_command, by_sdk, "{name}: command line and SDK");
        assert_eq!(by_mcp, by_sdk, "{name}: MCP and SDK");
    }
}

#[test]
fn spellings_that_models_know_are_accepted_everywhere_over_json() {
    let home = Home::new();
    let client = Client::open(Settings { home: home.path(), ..Settings::default() }).unwrap();
    let context = client.context().unwrap();
    let cases = [
        ("workspace_exec", json!({"workspace": "nope", "cmd": "true", "workdir": "a"})),
        ("workspace_file_read", json!({"workspace": "nope", "file_path": "a"})),
        ("workspace_file_read", json!({"workspace": "nope", "filePath": "a"})),
        ("workspace_file_list", json!({"workspace": "nope", "file_path": "a"})),
        ("workspace_file_write", json!({"workspace": "nope", "filePath": "a", "content": ""})),
        (
            "workspace_file_edit",
            json!({"workspace": "nope", "file_path": "a", "oldString": "x", "newString": "y", "replaceAll": true}),
        ),
    ];
    for (name, arguments) in cases {
        let failure = client.call_json(name, &arguments, &context).unwrap_err();
        assert_eq!(failure.code, pyro::Code::NotFound, "{name} {arguments}: {failure}");
    }
}

#[test]
fn the_same_reply_through_the_command_line_and_the_sdk() {
    let home = Home::new();
    if home.workspace("w").is_none() {
        return;
    }
    home.run(&["workspace", "file", "write", "w", "a/b", "--text", "x\n"]);
    let client = Client::open(Settings { home: home.path(), ..Settings::default() }).unwrap();
    let cases: [(&str, Value, &[&str]); 6] = [
        ("workspace_list", json!({}), &["workspace", "list"]),
        ("workspace_status", json!({"workspace": "w"}), &["workspace", "status", "w"]),
        ("workspace_file_list", json!({"workspace": "w"}), &["workspace", "file", "list", "w"]),
        (
            "workspace_file_read",
            json!({"workspace": "w", "path": "a/b"}),
            &["workspace", "file", "read", "w", "a/b"],
        ),
        ("workspace_diff", json!({"workspace": "w"}), &["workspace", "diff", "w"]),
        ("environment_list", json!({}), &["env", "list"]),
    ];
    for (name, arguments, typed) in cases {
        let by_sdk = client.call_json(name, &arguments, &client.context().unwrap()).unwrap();
        assert_eq!(home.json(typed), by_sdk, "{name}");
    }
}
