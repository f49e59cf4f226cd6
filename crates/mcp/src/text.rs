//! A reply as text with the same facts: the verdict, short `key: value` lines, then the long texts
//! as blocks. Made from the reply alone, so that no operation can be forgotten.

use std::fmt::Write;

use pyro_operations::Failure;
use serde_json::{Map, Value};

/// Texts that stand as blocks even when they are short.
const BLOCKS: &[&str] = &["stdout", "stderr", "patch", "content", "output", "markdown"];
/// A line that is longer is a block.
const LINE_CHARACTERS: usize = 200;

/// The text of a reply.
#[must_use]
pub fn reply(reply: &Value) -> String {
    let Value::Object(fields) = reply else { return reply.to_string() };
    let mut text = String::new();
    if let Some(verdict) = fields.get("verdict").and_then(Value::as_str) {
        line(&mut text, verdict);
    }
    for (key, value) in fields {
        if !matches!(key.as_str(), "verdict" | "next" | "notices") && !is_block(key, value) {
            field(&mut text, key, value);
        }
    }
    for notice in fields.get("notices").and_then(Value::as_array).into_iter().flatten() {
        line(&mut text, &format!("notice: {}", scalar(notice)));
    }
    if let Some(next) = fields.get("next") {
        line(&mut text, &format!("next: {}: {}", scalar(&next["tool"]), scalar(&next["why"])));
    }
    for (key, value) in fields {
        if let (true, Value::String(content)) = (is_block(key, value), value) {
            block(&mut text, key, content);
        }
    }
    text
}

/// The text of a failure: `CODE: message`, then the next thing to do.
#[must_use]
pub fn failure(failure: &Failure) -> String {
    let mut text = format!("{}: {}\n", failure.code, failure.message);
    if !failure.hint.is_empty() {
        line(&mut text, &format!("Next: {}", failure.hint));
    }
    for (key, value) in &failure.details {
        field(&mut text, key, value);
    }
    if failure.retryable {
        text.push_str("The same call may work later.\n");
    }
    text
}

fn is_block(key: &str, value: &Value) -> bool {
    value.as_str().is_some_and(|content| {
        key != "verdict"
            && (BLOCKS.contains(&key)
                || content.contains('\n')
                || content.chars().count() > LINE_CHARACTERS)
    })
}

fn line(text: &mut String, content: &str) {
    text.push_str(content);
    text.push('\n');
}

fn field(text: &mut String, key: &str, value: &Value) {
    match value {
        Value::Array(items) if items.iter().any(Value::is_object) => {
            line(text, &format!("{key}:"));
            for item in items {
                line(text, &format!("- {}", flat(item)));
            }
        }
        Value::Array(items) if items.is_empty() => line(text, &format!("{key}: none")),
        Value::Object(fields) if fields.values().any(|v| v.is_object() || v.is_array()) => {
            for (inner, value) in fields {
                field(text, &format!("{key}.{inner}"), value);
            }
        }
        _ => line(text, &format!("{key}: {}", flat(value))),
    }
}

/// A value on one line.
fn flat(value: &Value) -> String {
    match value {
        Value::Object(fields) => pairs(fields),
        Value::Array(items) => items.iter().map(flat).collect::<Vec<_>>().join(", "),
        other => scalar(other),
    }
}

fn pairs(fields: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (key, value) in fields {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = match value {
            Value::Object(_) => write!(text, "{separator}{key}: ({})", flat(value)),
            Value::Array(_) => write!(text, "{separator}{key}: [{}]", flat(value)),
            _ => write!(text, "{separator}{key}: {}", flat(value)),
        };
    }
    text
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(content) => content.replace(['\n', '\r'], " "),
        other => other.to_string(),
    }
}

fn block(text: &mut String, key: &str, content: &str) {
    if content.is_empty() {
        return line(text, &format!("{key}: empty"));
    }
    line(text, &format!("--- {key} ---"));
    text.push_str(content);
    if !content.ends_with('\n') {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use pyro_operations::Code;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_verdict_is_first_and_blocks_are_last() {
        let text = reply(&json!({
            "verdict": "exited with 1 after 3 ms",
            "state": "exited",
            "exit_code": 1,
            "stdout": "a\nb",
            "stderr": "",
            "network": {"policy": "off"},
            "omitted": [{"stream": "stdout", "offset": 2, "bytes": 5}],
            "next": {"tool": "workspace_logs", "why": "the rest"},
            "notices": ["slow"],
        }));
        assert_eq!(
            text,
            "exited with 1 after 3 ms\nstate: exited\nexit_code: 1\nnetwork: policy: off\n\
             omitted:\n- stream: stdout, offset: 2, bytes: 5\nnotice: slow\n\
             next: workspace_logs: the rest\n--- stdout ---\na\nb\nstderr: empty\n"
        );
    }

    #[test]
    fn every_scalar_of_a_reply_is_in_its_text() {
        let value = json!({
            "verdict": "v", "seed": {"files": 7, "skipped": [{"path": "p1", "reason": "r1"}]},
            "tools": ["t1", "t2"], "entries": [], "healthy": true,
        });
        let text = reply(&value);
        for fact in ["7", "p1", "r1", "t1, t2", "entries: none", "healthy: true"] {
            assert!(text.contains(fact), "{fact} in {text}");
        }
    }

    #[test]
    fn a_failure_names_the_next_call() {
        let text = failure(
            &Failure::new(Code::Busy, "workspace `a` is being reset")
                .hint("call workspace_status")
                .detail("kind", "workspace"),
        );
        assert_eq!(
            text,
            "busy: workspace `a` is being reset\nNext: call workspace_status\nkind: workspace\n\
             The same call may work later.\n"
        );
    }
}
