//! The request path under arbitrary input: whatever a client sends, each request with an id has one
//! answer, no tool call changes the host, and the server answers the next one. On the built binary,
//! so that reading lines, the protocol's layer and every tool's arguments are all in it.

#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use more of it")]
mod home;
mod wire;

use std::cell::RefCell;

use home::Home;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use pyro_operations::OPERATIONS;
use serde_json::{Map, Value, json};
use wire::Wire;

const CASES: u32 = 1_000;

struct Server {
    wire: Wire,
    next: u64,
}

impl Server {
    fn start(home: &Home) -> Self {
        let arguments = ["mcp", "serve", "--profile", "workspace-full", "--no-project-source"];
        let mut server = Self { wire: Wire::spawn(home.pyro(&arguments)), next: 1_000_000 };
        server.write(br#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"fuzz","version":"0"}}}"#);
        server.write(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        server.until(&[0]);
        server
    }

    fn write(&mut self, line: &[u8]) {
        self.wire.write(line);
        self.wire.write(b"\n");
    }

    /// The messages up to the last of the answers with these ids: calls answer when they are done.
    fn until(&self, ids: &[u64]) -> Vec<Value> {
        let (mut seen, mut left) = (Vec::new(), ids.to_vec());
        while !left.is_empty() {
            let message = self.wire.receive();
            left.retain(|id| message["id"] != *id);
            seen.push(message);
        }
        seen
    }

    /// Sends a line, then a request that any server answers; what came until both are answered.
    fn send(&mut self, line: &[u8], id: Option<u64>) -> Vec<Value> {
        self.write(line);
        self.next += 1;
        let ping = self.next;
        self.write(json!({"jsonrpc": "2.0", "id": ping, "method": "ping"}).to_string().as_bytes());
        let ids: Vec<u64> = id.into_iter().chain([ping]).collect();
        let mut seen = self.until(&ids);
        seen.retain(|message| message["id"] != ping);
        seen
    }
}

/// Any JSON, of the kinds of values that break readers.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![u64::MAX, 0, 1, 280, 281, 45_001]).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "../..",
            "/etc/passwd",
            "\0",
            "a\nb",
            "-x",
            "ws_",
            "\u{feff}",
            "~"
        ])
        .prop_map(Value::from),
        (1_usize..300_000).prop_map(|length| Value::from("é".repeat(length / 2))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-z_]{0,8}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Arguments of a tool: its own fields and others, with values that fit and that do not. Never
/// what would run for long or end at once: no command, no url.
fn arguments() -> impl Strategy<Value = (String, Value)> {
    let tools: Vec<_> = OPERATIONS.iter().collect();
    prop::sample::select(tools).prop_flat_map(|operation| {
        let schema = (operation.request_schema)();
        let fields: Vec<String> =
            schema["properties"].as_object().unwrap().keys().cloned().collect();
        let fields: Vec<String> = fields
            .into_iter()
            .filter(|name| {
                !["command", "repo_url", "environment", "machine"].contains(&name.as_str())
            })
            .chain(["file_path".to_owned(), "cmd".to_owned(), "nothing".to_owned()])
            .collect();
        let name = operation.name.to_owned();
        vec((prop::sample::select(fields), anything()), 0..6).prop_map(move |given| {
            let given: Map<String, Value> = given.into_iter().collect();
            (name.clone(), Value::Object(given))
        })
    })
}

fn requests() -> impl Strategy<Value = Value> {
    let call = (arguments(), any::<u32>()).prop_map(|((name, arguments), id)| {
        json!({"jsonrpc": "2.0", "id": id % 900_000 + 1, "method": "tools/call",
               "params": {"name": name, "arguments": arguments}})
    });
    let methods = [
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "completion/complete",
        "logging/setLevel",
        "server/discover",
        "initialize",
        "subscriptions/listen",
        "notifications/cancelled",
        "tasks/get",
        "",
        "x/y",
    ];
    let other = (prop::sample::select(methods.to_vec()), anything(), any::<u32>())
        .prop_map(|(method, params, id)| {
            json!({"jsonrpc": "2.0", "id": id % 900_000 + 1, "method": method, "params": params})
        });
    prop_oneof![3 => call, 1 => other, 1 => anything()]
}

/// A line as it is, or broken somewhere.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let whole = requests().prop_map(|request| request.to_string().into_bytes());
    let broken = (requests(), any::<prop::sample::Index>(), any::<u8>(), 0..4_u8).prop_map(
        |(request, at, byte, how)| {
            let mut line = request.to_string().into_bytes();
            let at = at.index(line.len());
            match how {
                0 => line.truncate(at),
                1 => line[at] = byte,
                2 => line.insert(at, byte),
                _ => line.extend_from_within(at..),
            }
            line
        },
    );
    let bytes = vec(any::<u8>(), 0..200);
    prop_oneof![3 => whole, 2 => broken, 1 => bytes].prop_map(|mut line| {
        line.retain(|byte| *byte != b'\n');
        line
    })
}

#[test]
fn every_request_has_one_answer_whatever_it_says() {
    let home = Home::new();
    let server = RefCell::new(Server::start(&home));
    let mut runner = TestRunner::new(ProptestConfig { cases: CASES, ..ProptestConfig::default() });
    runner
        .run(&lines(), |line| {
            let sent: Option<Value> = serde_json::from_slice(&line).ok();
            let request = sent.as_ref().filter(|sent| {
                sent["jsonrpc"] == "2.0"
                    && sent["method"].as_str().is_some_and(|m| !m.starts_with("notifications/"))
                    && (sent["params"].is_object() || sent.get("params").is_none())
            });
            let id = request.and_then(|request| request["id"].as_u64());
            let answers = server.borrow_mut().send(&line, id);
            for answer in &answers {
                prop_assert_eq!(&answer["jsonrpc"], "2.0");
                let text = answer.to_string();
                prop_assert!(!text.contains("panicked") && !text.contains("broke off"), "{}", text);
                prop_assert!(text.len() < 250_000, "{} bytes", text.len());
            }
            if let Some(id) = id {
                let own = answers.iter().filter(|answer| answer["id"] == id).count();
                prop_assert_eq!(own, 1);
            }
            Ok(())
        })
        .unwrap();
    // And it still works.
    let mut server = server.into_inner();
    server.write(br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"workspace_list","arguments":{}}}"#);
    let listed = server.until(&[7]).pop().unwrap();
    assert!(listed["result"]["structuredContent"]["verdict"].is_string(), "{listed}");
}
