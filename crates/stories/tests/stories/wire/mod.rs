//! How a chat host and its model talk: what differs between the three dialects.

mod anthropic;
mod completions;
mod responses;

use serde_json::Value;

use crate::{host::Host, model::Says};

/// A tool as the model sees it.
#[derive(Debug, Clone)]
pub(crate) struct SeenTool {
    /// Without the host's prefix.
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) schema: Value,
}

/// Whether a request to this path asks for the model's next words.
pub(crate) fn is_turn(host: Host, path: &str) -> bool {
    match host {
        Host::Claude => path == "/v1/messages",
        Host::Codex => path == "/v1/responses",
        Host::Opencode => path == "/v1/chat/completions",
    }
}

/// What hosts ask of a model's server beside that, and do without.
pub(crate) fn is_known(method: &str, path: &str) -> bool {
    matches!(
        (method, path),
        ("GET", "/v1/models") | ("HEAD", "/") | ("POST", "/v1/messages/count_tokens")
    )
}

/// Whether a request is part of the story: hosts also ask for titles and the like, with no tools.
pub(crate) fn has_tools(body: &Value) -> bool {
    body["tools"].as_array().is_some_and(|tools| !tools.is_empty())
}

/// Whether pyro's tools must be searched for before the model sees them.
pub(crate) fn hides_tools(host: Host, body: &Value) -> bool {
    host == Host::Codex && responses::can_search(body) && responses::tools(body).is_empty()
}

/// pyro's tools, as far as a request shows them.
pub(crate) fn pyro_tools(host: Host, body: &Value) -> Vec<SeenTool> {
    match host {
        Host::Claude => anthropic::tools(body),
        Host::Codex => responses::tools(body),
        Host::Opencode => completions::tools(body),
    }
}

/// pyro's tools as the model saw them first.
pub(crate) fn tools_told(host: Host, turns: &[Value]) -> Vec<SeenTool> {
    let told = turns.iter().map(|turn| pyro_tools(host, turn));
    told.into_iter().find(|tools| !tools.is_empty()).unwrap_or_default()
}

/// Tools of which the model first saw no more than their names.
pub(crate) fn tools_named(host: Host, turns: &[Value]) -> Vec<String> {
    match host {
        Host::Claude => anthropic::named(&turns[0]),
        Host::Codex | Host::Opencode => Vec::new(),
    }
}

pub(crate) fn call_id(host: Host, number: usize) -> String {
    match host {
        Host::Claude => format!("toolu_{number:04}"),
        Host::Codex | Host::Opencode => format!("call_{number:04}"),
    }
}

/// Every character that came back for a call; None when its result is not in the request.
pub(crate) fn result(host: Host, body: &Value, id: &str) -> Option<String> {
    match host {
        Host::Claude => anthropic::result(body, id),
        Host::Codex => responses::result(body, id),
        Host::Opencode => completions::result(body, id),
    }
}

/// The answer to a request: status, content type, body.
pub(crate) fn say(
    host: Host,
    body: &Value,
    says: &Says<'_>,
) -> (&'static str, &'static str, String) {
    let (kind, answer) = match host {
        Host::Claude => anthropic::say(body, says),
        Host::Codex => ("text/event-stream", responses::say(says)),
        Host::Opencode => completions::say(body, says),
    };
    ("200 OK", kind, answer)
}

/// Server-sent events, each with its `type` as the event's name.
fn events(events: &[Value]) -> String {
    let lines = events.iter().map(|event| {
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
    });
    lines.collect()
}

/// The text of content that is a string or a list of parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .map(|p| p["text"].as_str().map_or_else(|| p.to_string(), str::to_owned))
            .collect(),
        other => other.to_string(),
    }
}
