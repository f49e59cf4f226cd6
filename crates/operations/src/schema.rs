//! JSON schemas of requests and replies: flat, without references, without `null`.
//!
//! Request fields carry hints for the doors as `x-` keys beside their type:
//! - `x-position`: the field is positional on the command line, in this order;
//! - `x-flag`: its flag there, where that is not the field in kebab-case;
//! - `x-command`: it is the command after `--`, quoted into one line;
//! - `x-content`: text that the command line also takes from a file or standard input;
//! - `x-either`: a `bool` for which absent is neither `true` nor `false`;
//! - `x-flags`: an object whose fields are flags of their own, under this heading;
//! - `x-full`: not in the core profile and the modes.
//!
//! Doors that show a schema to somebody else take these keys out (`without_hints`).

use schemars::{JsonSchema, generate::SchemaSettings, transform::RestrictFormats};
use serde_json::{Map, Value};

/// The schema of a type, as all doors use it.
#[must_use]
pub fn of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.meta_schema = None;
    settings = settings.with_transform(RestrictFormats::default());
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut value = schema.to_value();
    tidy(&mut value);
    if let Value::Object(root) = &mut value {
        root.remove("title");
        root.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    }
    value
}

/// Takes away what some hosts refuse and no model needs: `null` as a type, defaults, formats.
fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(map) => {
            for key in ["default", "format"] {
                if map.get(key).is_some_and(|found| !found.is_object()) {
                    map.remove(key);
                }
            }
            if let Some(Value::String(text)) = map.get_mut("description") {
                // A doc comment is broken into lines for its file, not for its readers.
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(values)) = map.get_mut("enum") {
                values.retain(|v| !v.is_null());
            }
            for key in ["anyOf", "oneOf"] {
                flatten_choice(map, key);
            }
            map.values_mut().for_each(tidy);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `anyOf [X, null]` becomes X; a choice among single constants becomes an `enum`.
fn flatten_choice(map: &mut Map<String, Value>, key: &str) {
    let Some(Value::Array(choices)) = map.get(key) else { return };
    let mut choices = choices.clone();
    choices.retain(|c| c.get("type").is_none_or(|t| t != "null"));
    if let [only] = choices.as_slice() {
        let only = only.clone();
        map.remove(key);
        if let Value::Object(inner) = only {
            for (name, value) in inner {
                map.entry(name).or_insert(value);
            }
        }
        return flatten_choice(map, "oneOf");
    }
    let constants: Option<Vec<Value>> = choices.iter().map(|c| c.get("const").cloned()).collect();
    if let Some(constants) = constants {
        map.remove(key);
        map.insert("type".to_owned(), Value::String("string".to_owned()));
        map.insert("enum".to_owned(), Value::Array(constants));
    }
}

/// The schema without the hints for doors.
#[must_use]
pub fn without_hints(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, _)| !key.starts_with("x-"))
                .map(|(key, value)| (key.clone(), without_hints(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_hints).collect()),
        other => other.clone(),
    }
}
