//! A client that speaks to the built server in JSON lines, in either era of the protocol. What
//! stands in a reply and in the schema that its tool promised is compared at every call.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{home::Home, wire::Wire};

/// How the protocol begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// `initialize`, up to 2025-11-25.
    Handshake,
    /// `server/discover`, from 2026-07-28 on: each request says who asks.
    Discover,
}

impl Era {
    pub(crate) const BOTH: [Era; 2] = [Era::Handshake, Era::Discover];
}

/// The server, greeted.
pub(crate) struct Server {
    wire: Wire,
    era: Era,
    /// What it said at the start.
    pub(crate) greeting: Value,
    promised: BTreeMap<String, Value>,
}

impl Server {
    pub(crate) fn greeted(home: &Home, arguments: &[&str], era: Era) -> Self {
        let all = [&["mcp", "serve"], arguments].concat();
        let wire = Wire::spawn(home.pyro(&all));
        let mut server = Self { wire, era, greeting: Value::Null, promised: BTreeMap::new() };
        server.greet();
        let tools = server.ask("tools/list", json!({}));
        for tool in tools["result"]["tools"].as_array().unwrap() {
            let name = tool["name"].as_str().unwrap().to_owned();
            server.promised.insert(name, tool["outputSchema"].clone());
        }
        server
    }

    fn greet(&mut self) {
        let client = json!({"name": "test", "version": "0"});
        self.greeting = match self.era {
            Era::Handshake => {
                let hello = json!({
                    "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client,
                });
                let reply = self.ask("initialize", hello);
                assert_eq!(reply["result"]["protocolVersion"], "2025-11-25", "{reply}");
                self.tell("notifications/initialized", &json!({}));
                reply["result"].clone()
            }
            Era::Discover => {
                let reply = self.ask("server/discover", json!({}));
                let versions = reply["result"]["supportedVersions"].to_string();
                assert!(versions.contains("2026-07-28"), "{reply}");
                reply["result"].clone()
            }
        };
    }

    pub(crate) fn tell(&mut self, method: &str, params: &Value) {
        self.wire.tell(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    pub(crate) fn send(&mut self, method: &str, mut params: Value) -> u64 {
        if self.era == Era::Discover {
            let client = json!({"name": "test", "version": "0"});
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            params["_meta"]["io.modelcontextprotocol/clientInfo"] = client;
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        self.wire.send(method, &params)
    }

    pub(crate) fn receive(&self) -> Value {
        self.wire.receive()
    }

    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.wire.answer(id)
    }

    /// A call's result, held to what its tool promised.
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let reply = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        let result = reply["result"].clone();
        let structured =
            result["structuredContent"].as_object().unwrap_or_else(|| panic!("{reply}"));
        let first = structured.keys().next().unwrap();
        assert_eq!(first, if result["isError"] == true { "error" } else { "verdict" });
        for (field, value) in structured {
            let promised = &self.promised[tool]["properties"][field]["type"];
            let fits = match promised.as_str() {
                Some("object") => value.is_object(),
                Some("array") => value.is_array(),
                Some("string") => value.is_string(),
                Some("integer") => value.is_i64() || value.is_u64(),
                Some("boolean") => value.is_boolean(),
                // Fields of nearly every reply stand in no schema.
                None => ["next", "notices"].contains(&field.as_str()),
                Some(_) => false,
            };
            assert!(fits, "{tool}: {field} is {value}, promised {promised}");
        }
        result
    }
}
