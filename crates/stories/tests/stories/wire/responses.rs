//! The Responses API, which Codex speaks.

use serde_json::{Value, json};

use super::{SeenTool, events, text_of};
use crate::model::Says;

const NAMESPACE: &str = "mcp__pyro";

pub(super) fn can_search(body: &Value) -> bool {
    body["tools"].as_array().into_iter().flatten().any(|tool| tool["type"] == "tool_search")
}

/// Tools that stand in the request from the start, and those that a search found.
pub(super) fn tools(body: &Value) -> Vec<SeenTool> {
    let found = body["input"].as_array().into_iter().flatten();
    let found = found.filter(|item| item["type"] == "tool_search_output");
    let found = found.filter_map(|item| item["tools"].as_array()).flatten();
    let all = body["tools"].as_array().into_iter().flatten().chain(found);
    let namespaces = all.filter(|tool| tool["type"] == "namespace" && tool["name"] == NAMESPACE);
    let tools = namespaces.filter_map(|namespace| namespace["tools"].as_array()).flatten();
    tools
        .filter_map(|tool| {
            Some(SeenTool {
                name: tool["name"].as_str()?.to_owned(),
                description: tool["description"].as_str().unwrap_or_default().to_owned(),
                schema: tool["parameters"].clone(),
            })
        })
        .collect()
}

pub(super) fn result(body: &Value, id: &str) -> Option<String> {
    let mut items = body["input"].as_array()?.iter();
    let found = items.find(|i| i["type"] == "function_call_output" && i["call_id"] == id)?;
    Some(text_of(&found["output"]))
}

pub(super) fn say(says: &Says<'_>) -> String {
    let item = match says {
        Says::Call { id, tool, arguments } => json!({
            "type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": tool,
            "namespace": NAMESPACE, "arguments": arguments.to_string(),
        }),
        Says::Search { id } => json!({
            "type": "tool_search_call", "id": "ts_1", "call_id": id, "status": "completed",
            "execution": "client", "arguments": {"query": "pyro workspace", "limit": 100},
        }),
        Says::Text(text) => json!({
            "type": "message", "id": "m_1", "role": "assistant",
            "content": [{"type": "output_text", "text": text}],
        }),
    };
    let usage = json!({
        "input_tokens": 1, "input_tokens_details": null, "output_tokens": 1,
        "output_tokens_details": null, "total_tokens": 2,
    });
    events(&[
        json!({"type": "response.created", "response": {"id": "resp_1"}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {"id": "resp_1", "usage": usage}}),
    ])
}
