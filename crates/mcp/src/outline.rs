//! The shape of a reply, as a tool tells it: each field with its type, one level deep. A model reads
//! the list of tools before every conversation; what stands inside a field, and what it means, is in
//! the reference pages. Whatever the whole schema takes, the outline takes.
//!
//! opencode holds failures to it too, and a model would read of the mismatch instead of the
//! failure: so that is one of the fields, and none is required.

use serde_json::{Map, Value, json};

/// Fields of nearly every reply, of which the server's instructions tell.
const EVERYWHERE: &[&str] = &["next", "notices"];

/// The outline of a reply's schema, with the failure that may stand in the reply's place.
pub(crate) fn outline(schema: &Value) -> Value {
    let properties = schema["properties"].as_object();
    let fields = properties.into_iter().flatten();
    let fields = fields.filter(|(name, _)| !EVERYWHERE.contains(&name.as_str()));
    let mut fields: Map<String, Value> =
        fields.map(|(name, property)| (name.clone(), shape(property))).collect();
    fields.insert("error".to_owned(), json!({ "type": "object" }));
    json!({ "type": "object", "properties": fields })
}

fn shape(property: &Value) -> Value {
    match property["type"].as_str() {
        Some("array") => json!({ "type": "array", "items": kind(&property["items"]) }),
        _ => kind(property),
    }
}

fn kind(property: &Value) -> Value {
    match property["type"].as_str() {
        Some(kind) => json!({ "type": kind }),
        None => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use pyro_operations::OPERATIONS;

    use super::*;

    #[test]
    fn every_field_stays_with_its_type_and_a_failure_fits_too() {
        for operation in OPERATIONS {
            let whole = (operation.reply_schema)();
            let short = outline(&whole);
            assert!(short.get("required").is_none());
            assert_eq!(short["properties"]["error"]["type"], "object");
            assert!(whole["properties"].get("error").is_none(), "{}", operation.name);
            for (name, property) in whole["properties"].as_object().unwrap() {
                if EVERYWHERE.contains(&name.as_str()) {
                    continue;
                }
                let kind = &short["properties"][name]["type"];
                assert_eq!(kind, &property["type"], "{}.{name}", operation.name);
                assert!(kind.is_string(), "{}.{name}", operation.name);
                let items = short["properties"][name].get("items");
                assert_eq!(
                    items.map(|items| &items["type"]),
                    property.get("items").map(|i| &i["type"])
                );
            }
        }
    }
}
