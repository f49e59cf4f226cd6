//! The MCP server for real: the binary, spoken to in JSON lines over its standard streams.

#![expect(clippy::unwrap_used, reason = "tests")]

mod home;
mod wire;

use std::{io::Write, time::Duration};

use home::Home;
use serde_json::{Value, json};
use wire::Wire;

struct Server(Wire);

impl std::ops::Deref for Server {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.0
    }
}

impl std::ops::DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.0
    }
}

impl Server {
    /// Started, not greeted yet.
    fn start(home: &Home, arguments: &[&str]) -> Self {
        Self(Wire::spawn(home.pyro(&[&["mcp", "serve"], arguments].concat())))
    }

    fn greeted(home: &Home, arguments: &[&str]) -> Self {
        let mut server = Self::start(home, arguments);
        let reply = server.ask("initialize", &hello("2025-06-18"));
        assert_eq!(reply["result"]["serverInfo"]["name"], "pyro", "{reply}");
        server.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        server
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let reply = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        assert!(reply["result"].is_object(), "{reply}");
        reply["result"].clone()
    }
}

fn hello(version: &str) -> Value {
    json!({
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    })
}

#[test]
fn both_eras_of_the_protocol_are_spoken() {
    let home = Home::new();
    for version in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let mut server = Server::start(&home, &[]);
        let reply = server.ask("initialize", &hello(version));
        assert_eq!(reply["result"]["protocolVersion"], version, "{reply}");
        let instructions = reply["result"]["instructions"].as_str().unwrap();
        assert!(instructions.contains("workspace_create"), "{instructions}");
    }
    let mut server = Server::start(&home, &[]);
    let meta = json!({"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }});
    let reply = server.ask("server/discover", &meta);
    assert!(reply["result"]["supportedVersions"].to_string().contains("2026-07-28"), "{reply}");
    let reply = server.ask("tools/list", &meta);
    assert!(reply["result"]["tools"].as_array().unwrap().len() > 10, "{reply}");
}

#[test]
fn the_tools_are_those_of_the_profile() {
    let home = Home::new();
    let names = |profile: &str| -> Vec<String> {
        let mut server = Server::greeted(&home, &["--profile", profile]);
        let reply = server.ask("tools/list", &json!({}));
        let tools = reply["result"]["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("vm-run"), ["vm_run"]);
    let core = names("workspace-core");
    let full = names("workspace-full");
    assert!(core.iter().all(|name| full.contains(name)) && full.len() > core.len());
    assert!(!full.contains(&"workspace_prune".to_owned()), "not for models");
}

#[test]
fn what_is_unknown_is_refused_in_the_right_place() {
    let home = Home::new();
    let mut server = Server::greeted(&home, &[]);
    let reply = server.ask("tools/call", &json!({"name": "no_such_tool", "arguments": {}}));
    assert_eq!(reply["error"]["code"], -32602, "{reply}");

    let result = server.call("workspace_exec", &json!({"workspace": "w", "comand": "true"}));
    assert_eq!(result["isError"], true);
    let error = &result["structuredContent"]["error"];
    assert_eq!(error["code"], "invalid_argument");
    assert!(error["hint"].as_str().unwrap().contains("command, cwd, env"), "{error}");
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("invalid_argument: ") && text.contains("\nNext: valid fields: "));

    // A field that this profile withholds is no field here, and is not among the valid ones.
    for field in ["cpus", "no_such"] {
        let result = server.call("workspace_create", &json!({ field: 2 }));
        let error = &result["structuredContent"]["error"];
        assert!(error["message"].as_str().unwrap().contains(field), "{error}");
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.contains("no_seed") && !hint.contains("cpus"), "{hint}");
    }
    let result = server.call("workspace_status", &json!({}));
    assert_eq!(result["structuredContent"]["error"]["details"]["field"], "workspace");
}

#[test]
fn garbage_is_survived() {
    let home = Home::new();
    let mut server = Server::greeted(&home, &[]);
    let lines: [&[u8]; 7] = [
        b"not json\n",
        b"\n\r\n\n",
        b"[]\n{}\nnull\n17\n\"x\"\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":99,\"method\":\"tools/call\",\"params\":{\"name\":7}}\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":98,\"method\":\"tools/call\",\"params\":{\"name\":\"workspace_list\",\"arguments\":[1]}}\n",
        b"{\"jsonrpc\":\"1.0\",\"id\":null,\"method\":\"\"}\n",
        b"\xff\xfe\x00\x01\n",
    ];
    for line in lines {
        server.write(line);
    }
    server.write(&[b'x'; 100_000]);
    server.write(b"\n");
    let nested = "[".repeat(10_000);
    server.write(
        format!("{{\"jsonrpc\":\"2.0\",\"id\":97,\"method\":\"tools/call\",\"params\":{nested}\n")
            .as_bytes(),
    );
    let deep = format!("{{\"workspace\":{}{}}}", "[".repeat(100), "]".repeat(100));
    server.write(format!("{{\"jsonrpc\":\"2.0\",\"id\":96,\"method\":\"tools/call\",\"params\":{{\"name\":\"workspace_status\",\"arguments\":{deep}}}}}\n").as_bytes());
    let reply = server.ask("tools/list", &json!({}));
    assert!(reply["result"]["tools"].is_array(), "{reply}");
    assert_eq!(server.end().1, Some(0));
}

#[test]
fn the_end_of_input_ends_the_server_at_once() {
    let home = Home::new();
    let mut server = Server::greeted(&home, &[]);
    let (lived, code) = server.end();
    assert_eq!(code, Some(0));
    assert!(lived < Duration::from_millis(200), "{lived:?}");
    let mut silent = Server::start(&home, &[]);
    assert_eq!(silent.end().1, Some(0));
}

#[test]
fn requests_before_the_end_of_input_are_answered() {
    let home = Home::new();
    let mut server = Server::greeted(&home, &[]);
    let id = server.send("tools/call", &json!({"name": "workspace_list", "arguments": {}}));
    assert_eq!(server.end().1, Some(0));
    let reply = server.answer(id);
    assert_eq!(reply["result"]["structuredContent"]["workspaces"], json!([]), "{reply}");
}

#[test]
fn a_command_goes_on_when_the_client_goes_away() {
    let home = Home::new();
    if home.workspace("w").is_none() {
        return;
    }
    let mut server = Server::greeted(&home, &[]);
    let go_on = "echo begun > began; until [ -e done ]; do sleep 0.02; done; echo ended";
    server.send(
        "tools/call",
        &json!({"name": "workspace_exec", "arguments": {"workspace": "w", "command": go_on}}),
    );
    wait_for_file(&home, "began");
    let (lived, code) = server.end();
    assert_eq!(code, Some(0));
    assert!(lived < Duration::from_millis(200), "{lived:?}");

    let execs = home.json(&["workspace", "logs", "w"]);
    let exec = execs["execs"].as_array().unwrap().iter().find(|e| e["state"] == "running");
    let id = exec.unwrap_or_else(|| panic!("{execs}"))["exec_id"].as_str().unwrap().to_owned();
    home.run(&["workspace", "file", "write", "w", "done", "--text", "x"]);
    let mut later = Server::greeted(&home, &[]);
    let result = later.call("workspace_exec_wait", &json!({"workspace": "w", "exec_id": id}));
    let reply = &result["structuredContent"];
    assert_eq!(reply["state"], "exited", "{reply}");
    assert_eq!(reply["stdout"], "ended\n");
}

/// Waits, in the guest, for a file that a command of the test writes.
fn wait_for_file(home: &Home, name: &str) {
    let wait = format!("until [ -e {name} ]; do sleep 0.02; done");
    let output = home.run(&["workspace", "exec", "w", "--", "sh", "-c", &wait]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_client_that_cancels_ends_the_command() {
    let home = Home::new();
    if home.workspace("w").is_none() {
        return;
    }
    let mut server = Server::greeted(&home, &[]);
    let command = "echo begun > began; exec sleep 600";
    let id = server.send(
        "tools/call",
        &json!({"name": "workspace_exec", "arguments": {"workspace": "w", "command": command}}),
    );
    wait_for_file(&home, "began");
    server.tell(&json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id},
    }));
    let stopped = server.call("workspace_logs", &json!({"workspace": "w"}));
    let list = &stopped["structuredContent"]["execs"];
    let exec = list.as_array().unwrap().iter().find(|e| e["command"] == command).unwrap();
    let exec_id = exec["exec_id"].as_str().unwrap();
    let waited = server.call("workspace_exec_wait", &json!({"workspace": "w", "exec_id": exec_id}));
    assert_eq!(waited["structuredContent"]["state"], "cancelled", "{waited}");
}

#[test]
fn a_reply_is_whole_in_both_forms() {
    let home = Home::new();
    if home.workspace("w").is_none() {
        return;
    }
    let mut server = Server::greeted(&home, &[]);
    let command = "echo out; echo err >&2; exit 4";
    let result = server.call("workspace_exec", &json!({"workspace": "w", "command": command}));
    assert_ne!(result["isError"], true, "a command that failed is a reply");
    let reply = &result["structuredContent"];
    assert_eq!(reply["exit_code"], 4);
    assert_eq!(reply.as_object().unwrap().keys().next().unwrap(), "verdict");
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with(reply["verdict"].as_str().unwrap()), "{text}");
    for fact in ["exit_code: 4", "--- stdout ---\nout\n", "--- stderr ---\nerr\n"] {
        assert!(text.contains(fact), "{fact} in {text}");
    }
}

#[test]
fn large_replies_stay_below_the_hosts_ceilings() {
    let home = Home::new();
    if home.workspace("w").is_none() {
        return;
    }
    let mut server = Server::greeted(&home, &[]);
    let quotes = "head -c 300000 /dev/zero | tr '\\0' '\"'";
    for arguments in [
        json!({"workspace": "w", "command": quotes, "max_output_chars": 45000}),
        json!({"workspace": "w", "command": format!("{quotes} >&2")}),
        json!({"workspace": "w", "command": "head -c 100000 /dev/urandom"}),
    ] {
        let result = server.call("workspace_exec", &arguments);
        let structured = result["structuredContent"].to_string();
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(structured.chars().count() <= 45_000, "{}", structured.len());
        assert!(text.chars().count() <= 45_000, "{}", text.len());
        assert_eq!(result["structuredContent"]["exit_code"], 0);
    }
    server.call("workspace_exec", &json!({"workspace": "w", "command": format!("{quotes} > q")}));
    let result = server.call("workspace_file_read", &json!({"workspace": "w", "path": "q"}));
    assert!(result["structuredContent"].to_string().chars().count() <= 45_000);
}

#[test]
fn progress_is_told_to_a_client_that_asks() {
    let home = Home::new();
    if home.workspace("probe").is_none() {
        return;
    }
    let mut server = Server::greeted(&home, &["--project-path", "."]);
    std::fs::write(home.project().join("file"), "x").unwrap();
    let id = server.send(
        "tools/call",
        &json!({
            "name": "workspace_create",
            "arguments": {"name": "seeded"},
            "_meta": {"progressToken": "p1"},
        }),
    );
    let mut told = Vec::new();
    loop {
        let message = server.receive();
        if message["id"] == id {
            assert_eq!(message["result"]["structuredContent"]["seed"]["files"], 1, "{message}");
            break;
        }
        if message["method"] == "notifications/progress" {
            assert_eq!(message["params"]["progressToken"], "p1");
            told.push(message["params"]["progress"].as_f64().unwrap());
        }
    }
    assert!(!told.is_empty(), "a create says its steps");
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
}

#[test]
fn fifty_calls_at_once_on_ten_workspaces_are_all_answered_by_their_own_reply() {
    let home = Home::new();
    let mut server = Server::greeted(&home, &["--no-project-source"]);
    for at in 0..10 {
        let made = server.call("workspace_create", &json!({"name": format!("w{at}")}));
        if made["structuredContent"]["error"]["code"] == "host_unfit" {
            let _ = writeln!(std::io::stderr(), "SKIPPED: no machine can run here: {made}");
            return;
        }
        assert_eq!(made["isError"], false, "{made}");
    }
    let mut asked = std::collections::BTreeMap::new();
    for at in 0..50 {
        let arguments = json!({
            "workspace": format!("w{}", at % 10),
            "command": format!("echo {at} >file{at}; sleep 0.2; cat file{at}"),
        });
        let params = json!({"name": "workspace_exec", "arguments": arguments});
        asked.insert(server.send("tools/call", &params), at);
    }
    while !asked.is_empty() {
        let message = server.receive();
        let Some(at) = message["id"].as_u64().and_then(|id| asked.remove(&id)) else {
            panic!("nobody asked for {message}");
        };
        let reply = &message["result"]["structuredContent"];
        assert_eq!(reply["stdout"], format!("{at}\n"), "{message}");
        let listed = home.json(&["workspace", "status", &format!("w{}", at % 10)]);
        assert_eq!(reply["workspace"], listed["workspace"], "{message}");
    }
    // What each left is in its own workspace and nowhere else.
    for at in 0..10 {
        let files = server.call("workspace_file_list", &json!({"workspace": format!("w{at}")}));
        let found = files["structuredContent"]["entries"].as_array().unwrap();
        let mut numbers: Vec<u64> = found
            .iter()
            .map(|entry| {
                entry["path"].as_str().unwrap().trim_start_matches("file").parse().unwrap()
            })
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..5).map(|n| n * 10 + at).collect::<Vec<_>>());
    }
}

#[test]
fn a_request_of_more_than_16_mib_is_refused_by_its_id() {
    let home = Home::new();
    let mut server = Server::greeted(&home, &[]);
    let content = "x".repeat(17 << 20);
    let reply = server.ask(
        "tools/call",
        &json!({"name": "workspace_file_write",
                "arguments": {"workspace": "w", "path": "p", "content": content}}),
    );
    assert!(reply["error"].to_string().contains("16 MiB"), "{reply}");
    assert!(server.ask("tools/list", &json!({}))["result"]["tools"].is_array());
}
