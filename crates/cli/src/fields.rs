//! A request's fields as the command line sees them, read from its schema and its `x-` hints.

use serde_json::Value;

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Whole,
    /// Given or not.
    Switch,
    /// Given as true, given as false, or not given.
    Either,
    Choice(Vec<String>),
    List,
    Map,
}

/// One field.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The long flag, without dashes.
    pub(crate) flag: String,
    pub(crate) position: Option<usize>,
    pub(crate) required: bool,
    /// Also from a file or standard input.
    pub(crate) content: bool,
    /// What stands after `--`.
    pub(crate) command: bool,
    pub(crate) about: String,
    /// The object of the request that holds it, and what stands above its flag.
    pub(crate) within: Option<Within>,
}

/// An object of a request whose fields are flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Within {
    pub(crate) object: String,
    pub(crate) heading: String,
}

impl Field {
    /// As it is shown where a value stands: `EXEC_ID`.
    pub(crate) fn placeholder(&self) -> String {
        self.name.to_uppercase()
    }
}

/// The fields of a request, in its own order; those of an object that is marked so, in its place.
pub(crate) fn of(schema: &Value) -> Vec<Field> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object();
    properties
        .into_iter()
        .flatten()
        .flat_map(|(name, property)| match property["x-flags"].as_str() {
            Some(heading) => inner(name, heading, property),
            None => vec![field(name, property, required.contains(&name.as_str()))],
        })
        .collect()
}

fn inner(object: &str, heading: &str, property: &Value) -> Vec<Field> {
    let within = Within { object: object.to_owned(), heading: heading.to_owned() };
    let fields = of(property).into_iter();
    fields.map(|field| Field { within: Some(within.clone()), ..field }).collect()
}

fn field(name: &str, property: &Value, required: bool) -> Field {
    let hint = |key: &str| property.get(key).and_then(Value::as_bool).unwrap_or(false);
    let position = property["x-position"].as_u64().and_then(|at| usize::try_from(at).ok());
    let flag = property["x-flag"].as_str().map_or_else(|| name.replace('_', "-"), str::to_owned);
    Field {
        name: name.to_owned(),
        kind: kind(property, hint("x-either")),
        flag,
        position,
        required,
        content: hint("x-content"),
        command: hint("x-command"),
        about: property["description"].as_str().unwrap_or_default().to_owned(),
        within: None,
    }
}

fn kind(property: &Value, either: bool) -> Kind {
    if let Some(values) = property["enum"].as_array() {
        return Kind::Choice(values.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    match property["type"].as_str() {
        Some("integer") => Kind::Whole,
        Some("boolean") if either => Kind::Either,
        Some("boolean") => Kind::Switch,
        Some("array") => Kind::List,
        Some("object") => Kind::Map,
        _ => Kind::Text,
    }
}
