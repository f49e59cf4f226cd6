//! What came back to the model, read alike in the two forms that hosts pass on: the structured
//! reply as JSON, or its text.

use serde_json::Value;

use crate::host::Host;

#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) host: Host,
    /// Every character that the model was given as the result of the call.
    pub(crate) whole: String,
    /// The structured form, where the host passes that.
    pub(crate) json: Option<Value>,
}

impl Received {
    pub(crate) fn new(host: Host, whole: String) -> Self {
        // Codex says first how long the call took.
        let reply = match (host, whole.split_once("\nOutput:\n")) {
            (Host::Codex, Some((_, reply))) => reply,
            _ => &whole,
        };
        let json = serde_json::from_str(reply).ok().filter(Value::is_object);
        Self { host, whole, json }
    }

    /// The line that a reply begins with, in both forms.
    pub(crate) fn verdict(&self) -> String {
        match &self.json {
            Some(json) => {
                let (name, value) = json.as_object().unwrap().iter().next().unwrap();
                assert_eq!(name, "verdict", "{}", self.whole);
                value.as_str().unwrap().to_owned()
            }
            None => self.whole.lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// A field's value as it stands in a line of text; `seed.files` for a field of an object.
    #[track_caller]
    pub(crate) fn field(&self, path: &str) -> String {
        self.find(path).unwrap_or_else(|| panic!("no {path} in: {}", self.whole))
    }

    pub(crate) fn find(&self, path: &str) -> Option<String> {
        let Some(json) = &self.json else { return self.find_in_text(path) };
        match json.pointer(&format!("/{}", path.replace('.', "/")))? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    fn find_in_text(&self, path: &str) -> Option<String> {
        let facts = self.facts();
        let value =
            |start: &str| facts.lines().find_map(|line| Some(line.strip_prefix(start)?.to_owned()));
        if let Some(found) = value(&format!("{path}: ")) {
            return Some(found);
        }
        let (object, name) = path.split_once('.')?;
        let fields = value(&format!("{object}: "))?;
        let field = fields.split(", ").find_map(|f| f.strip_prefix(&format!("{name}: ")))?;
        Some(field.to_owned())
    }

    /// The text before the blocks.
    fn facts(&self) -> &str {
        self.whole.split("\n--- ").next().unwrap_or_default()
    }

    /// A long text of the reply, such as `stdout` or `patch`; empty where it is.
    #[track_caller]
    pub(crate) fn block(&self, name: &str) -> String {
        if let Some(json) = &self.json {
            let text = json[name].as_str();
            return text.unwrap_or_else(|| panic!("no {name} in: {}", self.whole)).to_owned();
        }
        if self.whole.contains(&format!("\n{name}: empty\n")) {
            return String::new();
        }
        let marker = format!("\n--- {name} ---\n");
        let at = self.whole.find(&marker);
        let at = at.unwrap_or_else(|| panic!("no block {name} in: {}", self.whole));
        let rest = &self.whole[at + marker.len()..];
        let others = ["stdout", "stderr", "patch", "content", "output", "markdown"];
        let ends = others.iter().flat_map(|other| {
            [rest.find(&format!("--- {other} ---\n")), rest.find(&format!("{other}: empty\n"))]
        });
        rest[..ends.flatten().min().unwrap_or(rest.len())].to_owned()
    }

    /// How many rows a list has, such as `files` or `entries`.
    pub(crate) fn rows(&self, name: &str) -> Vec<String> {
        match &self.json {
            Some(json) => json[name].as_array().into_iter().flatten().map(plain).collect(),
            None => {
                let mut lines = self.facts().lines();
                if !lines.any(|line| line == format!("{name}:")) {
                    return Vec::new();
                }
                let rows = lines.map_while(|line| line.strip_prefix("- "));
                rows.map(str::to_owned).collect()
            }
        }
    }

    /// A failure: its code, message and hint, in whichever form.
    #[track_caller]
    pub(crate) fn failure(&self) -> (String, String, String) {
        if let Some(json) = &self.json {
            let error = &json["error"];
            assert!(error.is_object(), "no failure: {}", self.whole);
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            return (text("code"), text("message"), text("hint"));
        }
        let mut lines = self.whole.lines();
        let first = lines.next().unwrap_or_default();
        let (code, message) = first.split_once(": ").unwrap_or_default();
        // A host may put its own word first.
        let hint = lines.find_map(|line| line.strip_prefix("Next: ")).unwrap_or_default();
        let code = code.rsplit(' ').next().unwrap_or_default();
        (code.to_owned(), message.to_owned(), hint.to_owned())
    }

    /// Asserts on the fields of a reply that is no failure.
    #[track_caller]
    pub(crate) fn says(&self, facts: &[(&str, &str)]) -> &Self {
        let verdict = self.verdict();
        assert!(!verdict.is_empty(), "{}", self.whole);
        for (path, value) in facts {
            assert_eq!(self.field(path), *value, "{path} in: {}", self.whole);
        }
        self
    }

    #[track_caller]
    pub(crate) fn contains(&self, text: &str) -> &Self {
        assert!(self.whole.contains(text), "{text:?} is not in: {}", self.whole);
        self
    }
}

/// As the text form writes it.
fn plain(row: &Value) -> String {
    let Value::Object(fields) = row else { return row.to_string() };
    let fields = fields.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}: {text}"),
        other => format!("{name}: {other}"),
    });
    fields.collect::<Vec<_>>().join(", ")
}
