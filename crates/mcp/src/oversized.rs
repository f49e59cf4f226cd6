//! A line that is longer than the protocol's layer takes. That layer drops it without a word, and
//! its caller would wait for ever; here all but its id goes by, and a short request with that id is
//! handed on, whose refusal says why.

use serde_json::{Value, json};

/// As long as the protocol's layer takes.
pub(crate) const LONGEST: usize = 16 << 20;
/// An id that is longer is none.
const MOST_ID: usize = 256;
/// What the short request asks for: the refusal of an unknown method names it.
const METHOD: &str = "nothing: the request was longer than 16 MiB, and none of it was done";

/// What is known of the line so far.
#[derive(Debug, Default)]
pub(crate) struct Oversized {
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// The next text at the top is a name.
    names: bool,
    name: Vec<u8>,
    id: Id,
    raw: Vec<u8>,
}

/// Where the scan stands with the id.
#[derive(Debug, Default, PartialEq, Eq)]
enum Id {
    #[default]
    Unseen,
    Named,
    Value,
    Done,
}

impl Oversized {
    /// More of the line.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.pass_one(*byte));
    }

    fn pass_one(&mut self, byte: u8) {
        let at_top = self.depth == 1;
        if at_top && self.id == Id::Value && (self.in_text || !b",}]{[".contains(&byte)) {
            self.raw.push(byte);
            if self.raw.len() > MOST_ID {
                self.raw.clear();
                self.id = Id::Done;
            }
        }
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.end_text(at_top),
                _ => {}
            }
            if self.in_text && at_top && self.names && self.name.len() < 8 {
                self.name.push(byte);
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_text = true;
                self.name.clear();
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.names = self.depth == 1 && byte == b'{';
                if at_top && self.id == Id::Value {
                    self.raw.clear();
                    self.id = Id::Done;
                }
            }
            b'}' | b']' => {
                self.end_value(at_top);
                self.depth = self.depth.saturating_sub(1);
            }
            b',' => {
                self.end_value(at_top);
                self.names |= at_top;
            }
            b':' if at_top => {
                self.names = false;
                if self.id == Id::Named {
                    self.id = Id::Value;
                }
            }
            _ => {}
        }
    }

    fn end_text(&mut self, at_top: bool) {
        self.in_text = false;
        if at_top && self.names && self.id == Id::Unseen && self.name == b"id" {
            self.id = Id::Named;
        }
    }

    fn end_value(&mut self, at_top: bool) {
        if at_top && self.id == Id::Value {
            self.id = Id::Done;
        }
    }

    /// What stands in its place; empty for what nobody waits for.
    pub(crate) fn instead(self) -> Vec<u8> {
        match serde_json::from_slice::<Value>(&self.raw) {
            Ok(id) if id.is_string() || id.is_i64() || id.is_u64() => {
                json!({"jsonrpc": "2.0", "id": id, "method": METHOD}).to_string().into_bytes()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_in(line: &str) -> Value {
        let mut oversized = Oversized::default();
        oversized.pass(line.as_bytes());
        serde_json::from_slice::<Value>(&oversized.instead())
            .map_or(Value::Null, |v| v["id"].clone())
    }

    #[test]
    fn the_id_is_found_wherever_it_stands() {
        for (line, id) in [
            (r#"{"id":7,"method":"x"}"#, json!(7)),
            (
                r#"{ "method" : "x" , "params":{"id":1,"a":[{"id":2}]}, "id" : "a\"b" }"#,
                json!("a\"b"),
            ),
            (r#"{"params":"\",\"id\":3","id":-4}"#, json!(-4)),
            (r#"{"x":"id","id":"}"}"#, json!("}")),
            (r#"{"id":5,"id":6}"#, json!(5)),
            (r#"{"method":"x","params":{"id":1}}"#, Value::Null),
            (r#"{"id":{"id":1},"a":2}"#, Value::Null),
            (r#"{"id":null}"#, Value::Null),
            (r#"[{"id":1}]"#, Value::Null),
            (r#""id":1"#, Value::Null),
            ("", Value::Null),
            ("]}}\\\"", Value::Null),
        ] {
            assert_eq!(id_in(line), id, "{line}");
        }
        assert_eq!(id_in(&format!(r#"{{"id":"{}"}}"#, "x".repeat(300))), Value::Null);
    }
}
