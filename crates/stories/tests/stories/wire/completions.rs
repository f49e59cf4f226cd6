//! Chat completions, which opencode speaks with a provider that is compatible with OpenAI's.

use serde_json::{Value, json};

use super::{SeenTool, text_of};
use crate::model::Says;

const PREFIX: &str = "pyro_";

pub(super) fn tools(body: &Value) -> Vec<SeenTool> {
    let tools = body["tools"].as_array().into_iter().flatten();
    tools
        .filter_map(|tool| {
            let function = &tool["function"];
            Some(SeenTool {
                name: function["name"].as_str()?.strip_prefix(PREFIX)?.to_owned(),
                description: function["description"].as_str().unwrap_or_default().to_owned(),
                schema: function["parameters"].clone(),
            })
        })
        .collect()
}

pub(super) fn result(body: &Value, id: &str) -> Option<String> {
    let mut messages = body["messages"].as_array()?.iter();
    let found = messages.find(|m| m["role"] == "tool" && m["tool_call_id"] == id)?;
    Some(text_of(&found["content"]))
}

pub(super) fn say(body: &Value, says: &Says<'_>) -> (&'static str, String) {
    let (message, reason) = match says {
        Says::Call { id, tool, arguments } => (
            json!({"role": "assistant", "tool_calls": [{
                "index": 0, "id": id, "type": "function",
                "function": {"name": format!("{PREFIX}{tool}"), "arguments": arguments.to_string()},
            }]}),
            "tool_calls",
        ),
        Says::Search { .. } => unreachable!("only Codex hides tools"),
        Says::Text(text) => (json!({"role": "assistant", "content": text}), "stop"),
    };
    let chunk = |choice: Value| {
        json!({
            "id": "chat_1", "object": "chat.completion.chunk", "created": 1,
            "model": body["model"], "choices": [choice],
        })
    };
    if body["stream"] != true {
        let whole = chunk(json!({"index": 0, "message": message, "finish_reason": reason}));
        return ("application/json", whole.to_string());
    }
    let first = chunk(json!({"index": 0, "delta": message, "finish_reason": null}));
    let mut last = chunk(json!({"index": 0, "delta": {}, "finish_reason": reason}));
    last["usage"] = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
    ("text/event-stream", format!("data: {first}\n\ndata: {last}\n\ndata: [DONE]\n\n"))
}
