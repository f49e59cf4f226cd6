//! JSON with comments and trailing commas, changed in its concrete syntax: what is not touched
//! stays byte for byte.

use jsonc_parser::{
    ParseOptions,
    cst::{CstArray, CstInputValue, CstNode, CstObject, CstObjectProp, CstRootNode},
    errors::ParseError,
    parse_to_serde_value,
};
use serde_json::{Map, Value};

use super::{Done, Edit, Trouble, not_a_list, not_an_object};
use crate::wish::dotted;

/// What the chat hosts take: JSON with comments and trailing commas, and no other liberties.
fn options() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn malformed(error: &ParseError) -> Trouble {
    let why = error.kind().to_string();
    let mut letters = why.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    Trouble::Malformed {
        line: error.line_display(),
        why: first.into_iter().chain(letters).collect(),
    }
}

pub(super) fn read(text: &str) -> Done<Value> {
    match parse_to_serde_value(text, &options()).map_err(|error| malformed(&error))? {
        Value::Null => Ok(Value::Object(Map::new())),
        value => Ok(value),
    }
}

pub(super) fn edit(text: &str, key: &[String], edit: &Edit<'_>) -> Done<String> {
    // The nodes hold their root weakly: it lives until the end.
    let root = CstRootNode::parse(text, &options()).map_err(|error| malformed(&error))?;
    let takes_away = matches!(edit, Edit::Remove | Edit::RemoveItem(_));
    if root.value().is_none() && takes_away {
        return Ok(text.to_owned());
    }
    let mut object = root.object_value_or_create().ok_or_else(|| Trouble::Key {
        key: "the whole file".to_owned(),
        why: "it holds something that is no object".to_owned(),
    })?;
    let Some((last, parents)) = key.split_last() else { return Ok(text.to_owned()) };
    for (depth, part) in parents.iter().enumerate() {
        object = match only(&object, part, &key[..=depth])? {
            Some(property) => {
                property.object_value().ok_or_else(|| not_an_object(key, depth + 1))?
            }
            None if takes_away => return Ok(text.to_owned()),
            None => {
                let rest = &key[depth + 1..];
                object.append(part, nested(rest, edit));
                return Ok(root.to_string());
            }
        };
    }
    let found = only(&object, last, key)?;
    match (edit, found) {
        (Edit::Set(value), Some(property)) => property.set_value(input(value)),
        (Edit::Remove, Some(property)) => property.remove(),
        (Edit::AddItem(item), Some(property)) => {
            let list = list(&property, key)?;
            if !items(&list).any(|(found, _)| found == *item) {
                list.append(CstInputValue::from(*item));
            }
        }
        (Edit::RemoveItem(item), Some(property)) => {
            let list = list(&property, key)?;
            if let Some((_, node)) = items(&list).find(|(found, _)| found == item) {
                node.remove();
            }
        }
        (Edit::Set(_) | Edit::AddItem(_), None) => {
            object.append(last, nested(&[], edit));
        }
        (Edit::Remove | Edit::RemoveItem(_), None) => {}
    }
    Ok(root.to_string())
}

/// The property of this name, which must not be there twice: readers disagree on which counts.
fn only(object: &CstObject, name: &str, key: &[String]) -> Done<Option<CstObjectProp>> {
    let mut found = object
        .properties()
        .into_iter()
        .filter(|property| property.decoded_name().is_some_and(|found| found == name));
    let first = found.next();
    if found.next().is_some() {
        return Err(Trouble::Key { key: dotted(key), why: "it is there twice".to_owned() });
    }
    Ok(first)
}

fn list(property: &CstObjectProp, key: &[String]) -> Done<CstArray> {
    property.array_value().ok_or_else(|| not_a_list(key))
}

fn items(list: &CstArray) -> impl Iterator<Item = (String, CstNode)> {
    list.elements().into_iter().filter_map(|node| {
        let text = node.as_string_lit()?.decoded_value().ok()?;
        Some((text, node))
    })
}

/// What a key that is not there yet gets: objects for the rest of the key, and the value.
fn nested(rest: &[String], edit: &Edit<'_>) -> CstInputValue {
    let inner = match edit {
        Edit::Set(value) => input(value),
        Edit::AddItem(item) => CstInputValue::Array(vec![CstInputValue::from(*item)]),
        Edit::Remove | Edit::RemoveItem(_) => CstInputValue::Null,
    };
    rest.iter().rev().fold(inner, |inner, part| CstInputValue::Object(vec![(part.clone(), inner)]))
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(yes) => CstInputValue::Bool(*yes),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(fields) => CstInputValue::Object(
            fields.iter().map(|(name, value)| (name.clone(), input(value))).collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(dotted: &str) -> Vec<String> {
        dotted.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn comments_order_and_trailing_commas_stay() {
        let text = "// head\n{\n  \"b\": 1, // one\n  /* two */ \"servers\": {\n    \"x\": {\"command\": \"y\"}, // theirs\n  },\n}\n";
        let set = edit(text, &key("servers.pyro"), &Edit::Set(&json!({"command": "p"}))).unwrap();
        for kept in ["// head\n", "\"b\": 1, // one\n", "/* two */", "// theirs\n"] {
            assert!(set.contains(kept), "{kept} in {set}");
        }
        assert_eq!(read(&set).unwrap()["servers"]["pyro"]["command"], "p");
        assert_eq!(edit(&set, &key("servers.pyro"), &Edit::Remove).unwrap(), text);
    }

    #[test]
    fn line_ends_stay() {
        let text = "{\r\n  \"a\": {\r\n    \"b\": 1\r\n  }\r\n}\r\n";
        let set = edit(text, &key("a.c"), &Edit::Set(&json!(["x", {"y": 2}]))).unwrap();
        assert_eq!(set.matches('\n').count(), set.matches("\r\n").count(), "{set:?}");
        assert_eq!(edit(&set, &key("a.c"), &Edit::Remove).unwrap(), text);
    }

    #[test]
    fn items_are_added_once_and_taken_out() {
        let text = "{\"p\": {\"deny\": [\"A\"]}}";
        let added = edit(text, &key("p.deny"), &Edit::AddItem("B")).unwrap();
        assert_eq!(edit(&added, &key("p.deny"), &Edit::AddItem("B")).unwrap(), added);
        assert_eq!(read(&added).unwrap(), json!({"p": {"deny": ["A", "B"]}}));
        let taken = edit(&added, &key("p.deny"), &Edit::RemoveItem("B")).unwrap();
        assert_eq!(read(&taken).unwrap(), json!({"p": {"deny": ["A"]}}));
        assert_eq!(edit("", &key("p.q"), &Edit::RemoveItem("B")).unwrap(), "");
        let made = edit("", &key("p.q"), &Edit::AddItem("B")).unwrap();
        assert_eq!(read(&made).unwrap(), json!({"p": {"q": ["B"]}}));
    }

    #[test]
    fn what_cannot_be_changed_is_refused() {
        let twice = "{\"a\": {}, \"a\": {}}";
        let refused = edit(twice, &key("a.b"), &Edit::Set(&json!(1))).unwrap_err();
        assert!(matches!(refused, Trouble::Key { key, .. } if key == "a"));
        let text = edit("{\"a\": \"text\"}", &key("a.b"), &Edit::Set(&json!(1)));
        assert!(matches!(text, Err(Trouble::Key { .. })));
        assert!(edit("[1]", &key("a"), &Edit::Set(&json!(1))).is_err());
        let broken = read("{\n  \"a\": 1\n  \"b\": 2\n}").unwrap_err();
        assert!(matches!(broken, Trouble::Malformed { line: 2 | 3, .. }), "{broken:?}");
        let deep = "[".repeat(100_000);
        assert!(read(&deep).is_err() && edit(&deep, &key("a"), &Edit::Remove).is_err());
    }
}
