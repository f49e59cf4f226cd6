//! The Messages API, which Claude Code speaks.

use serde_json::{Value, json};

use super::{SeenTool, events, text_of};
use crate::model::Says;

const PREFIX: &str = "mcp__pyro__";

pub(super) fn tools(body: &Value) -> Vec<SeenTool> {
    let tools = body["tools"].as_array().into_iter().flatten();
    tools
        .filter_map(|tool| {
            Some(SeenTool {
                name: tool["name"].as_str()?.strip_prefix(PREFIX)?.to_owned(),
                description: tool["description"].as_str().unwrap_or_default().to_owned(),
                schema: tool["input_schema"].clone(),
            })
        })
        .collect()
}

/// Tools that Claude Code names to the model, and shows when it searches for them.
pub(super) fn named(body: &Value) -> Vec<String> {
    let text = body["messages"].to_string() + &body["system"].to_string();
    let rest = text.split(PREFIX).skip(1);
    rest.map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect())
        .collect()
}

pub(super) fn result(body: &Value, id: &str) -> Option<String> {
    let messages = body["messages"].as_array()?;
    let blocks = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
    let mut results = blocks.filter(|b| b["type"] == "tool_result" && b["tool_use_id"] == id);
    Some(text_of(&results.next()?["content"]))
}

pub(super) fn say(body: &Value, says: &Says<'_>) -> (&'static str, String) {
    let (block, reason) = match says {
        Says::Call { id, tool, arguments } => (
            json!({"type": "tool_use", "id": id, "name": format!("{PREFIX}{tool}"), "input": arguments}),
            "tool_use",
        ),
        Says::Search { .. } => unreachable!("only Codex hides tools"),
        Says::Text(text) => (json!({"type": "text", "text": text}), "end_turn"),
    };
    let usage = json!({"input_tokens": 1, "output_tokens": 1});
    let mut message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"],
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    if body["stream"] != true {
        message["content"] = json!([block]);
        message["stop_reason"] = json!(reason);
        return ("application/json", message.to_string());
    }
    let (start, delta) = match says {
        Says::Call { arguments, .. } => {
            let mut start = block;
            start["input"] = json!({});
            (start, json!({"type": "input_json_delta", "partial_json": arguments.to_string()}))
        }
        Says::Search { .. } => unreachable!("only Codex hides tools"),
        Says::Text(text) => {
            (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": text}))
        }
    };
    let stream = events(&[
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": start}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": 1},
        }),
        json!({"type": "message_stop"}),
    ]);
    ("text/event-stream", stream)
}
