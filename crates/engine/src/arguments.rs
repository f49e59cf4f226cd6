//! What is wrong with arguments that are no request, said so that a model can mend them: the
//! field, what it must be, and which fields there are.
//!
//! Only the refusal is made here; whether arguments are a request is serde's answer alone.

use pyro_operations::{Code, Failure, Request, schema};
use serde_json::{Map, Value};

/// The refusal for arguments that serde did not take.
pub(crate) fn refuse<R: Request>(arguments: &Value, error: &serde_json::Error) -> Failure {
    let request = schema::of::<R>();
    let text = error.to_string();
    let empty = Map::new();
    let properties = request.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    let invalid = |message: String| Failure::new(Code::InvalidArgument, message);
    let Value::Object(given) = arguments else {
        return invalid(format!(
            "{}: the arguments are {}, not an object",
            R::NAME,
            kind(arguments)
        ));
    };
    if let Some(field) = named(&text, "unknown field `") {
        let fields = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
        return invalid(format!("{}: unknown field `{field}`", R::NAME))
            .hint(format!("valid fields: {fields}"))
            .detail("kind", "field")
            .detail("field", field)
            .detail("fields", names);
    }
    if let Some(field) = named(&text, "missing field `") {
        return invalid(format!("{}: field `{field}` is missing", R::NAME))
            .hint(describe(&field, properties.get(&field)))
            .detail("kind", "field")
            .detail("field", field);
    }
    let wrong = given.iter().find_map(|(name, value)| {
        let property = properties.get(name)?;
        mismatch(property, value).map(|problem| (name, property, problem))
    });
    match wrong {
        Some((name, property, problem)) => invalid(format!("{}: {name}: {problem}", R::NAME))
            .hint(describe(name, Some(property)))
            .detail("kind", "field")
            .detail("field", name.as_str()),
        None => invalid(format!("{}: {}", R::NAME, cut(&text, 300))),
    }
}

/// The name that serde put between backticks.
fn named(text: &str, before: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let end = rest.find("`, ").or_else(|| rest.rfind('`')).unwrap_or(rest.len());
    Some(cut(&rest[..end], 80))
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

fn describe(field: &str, property: Option<&Value>) -> String {
    let about = property.and_then(|p| p["description"].as_str()).unwrap_or_default();
    format!("{field}: {about}")
}

/// What does not fit the field's type, if that is what is wrong.
fn mismatch(property: &Value, value: &Value) -> Option<String> {
    let expected = property["type"].as_str()?;
    let fits = match expected {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    };
    if !fits {
        return Some(format!("expected {}, got {}", article(expected), kind(value)));
    }
    if expected == "integer" && value.as_i64().is_some_and(|number| number < 0) {
        return Some("it must not be negative".to_owned());
    }
    let choices = property["enum"].as_array()?;
    if choices.contains(value) {
        return None;
    }
    let shown: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
    Some(format!("give one of {}", shown.join(", ")))
}

fn article(expected: &str) -> String {
    let article = if expected.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {expected}")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use pyro_operations::{
        exec::WorkspaceExec, file::WorkspaceFileRead, workspace::WorkspaceCreate,
    };
    use serde_json::json;

    use super::*;

    fn refusal<R: Request>(arguments: &Value) -> Failure {
        let error = R::deserialize(arguments).err().unwrap();
        refuse::<R>(arguments, &error)
    }

    #[test]
    fn an_unknown_field_is_answered_with_the_valid_ones() {
        let failure = refusal::<WorkspaceExec>(&json!({"workspace": "a", "comand": "true"}));
        assert_eq!(failure.message, "workspace_exec: unknown field `comand`");
        assert!(failure.hint.contains("command, cwd, env"), "{}", failure.hint);
        assert!(!failure.hint.contains("cmd"), "hidden spellings stay hidden: {}", failure.hint);
    }

    #[test]
    fn a_missing_or_wrong_field_is_named() {
        let failure = refusal::<WorkspaceFileRead>(&json!({"workspace": "a"}));
        assert!(failure.message.contains("`path` is missing"), "{}", failure.message);
        let failure =
            refusal::<WorkspaceFileRead>(&json!({"workspace": "a", "path": "b", "limit": "3"}));
        assert!(failure.message.ends_with("limit: expected an integer, got a string"));
        let failure = refusal::<WorkspaceCreate>(&json!({"machine": "tank"}));
        assert!(failure.message.contains("give one of auto"), "{}", failure.message);
        let failure = refusal::<WorkspaceCreate>(&json!({"cpus": -1}));
        assert!(failure.message.contains("negative"), "{}", failure.message);
        let failure = refusal::<WorkspaceCreate>(&json!([1]));
        assert!(failure.message.contains("an array, not an object"), "{}", failure.message);
    }

    #[test]
    fn a_hostile_name_is_cut() {
        let name = format!("`, {}", "x".repeat(10_000));
        let failure = refusal::<WorkspaceCreate>(&json!({ name: 1 }));
        assert!(failure.message.len() < 300);
    }
}
