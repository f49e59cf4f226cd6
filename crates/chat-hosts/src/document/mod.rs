//! The text of a configuration file: read as JSON values, changed at one key, everything else byte
//! for byte as it was. Formats differ only here.

mod json;
mod toml;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wish::dotted;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// JSON, with comments and trailing commas.
    Json,
    /// TOML.
    Toml,
}

/// Why a text cannot be read or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is not of its format.
    Malformed { line: usize, why: String },
    /// A key holds what cannot be changed.
    Key { key: String, why: String },
}

pub(crate) type Done<T> = Result<T, Trouble>;

/// A change at one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit<'a> {
    Set(&'a Value),
    Remove,
    AddItem(&'a str),
    RemoveItem(&'a str),
}

impl Format {
    /// The whole text as a value; an empty text is an empty object.
    pub(crate) fn read(self, text: &str) -> Done<Value> {
        match self {
            Format::Json => json::read(text),
            Format::Toml => toml::read(text),
        }
    }

    /// The text with one change. Objects on the way to the key are made.
    pub(crate) fn edit(self, text: &str, key: &[String], edit: &Edit<'_>) -> Done<String> {
        match self {
            Format::Json => json::edit(text, key, edit),
            Format::Toml => toml::edit(text, key, edit),
        }
    }

    /// As it is spelled on every door.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Toml => "toml",
        }
    }
}

/// What is at a key.
pub(crate) fn at<'a>(document: &'a Value, key: &[String]) -> Option<&'a Value> {
    key.iter().try_fold(document, |value, part| value.get(part))
}

/// How many leading parts of a key lead to something.
pub(crate) fn depth(document: &Value, key: &[String]) -> usize {
    (1..=key.len()).take_while(|depth| at(document, &key[..*depth]).is_some()).count()
}

fn not_an_object(key: &[String], depth: usize) -> Trouble {
    let why = "it holds something that is no object".to_owned();
    Trouble::Key { key: dotted(&key[..depth]), why }
}

fn not_a_list(key: &[String]) -> Trouble {
    Trouble::Key { key: dotted(key), why: "it holds something that is no list".to_owned() }
}

/// The line, from 1, of a byte.
fn line_of(text: &str, byte: usize) -> usize {
    let upto = text.as_bytes().get(..byte).unwrap_or(text.as_bytes());
    1 + upto.iter().filter(|byte| **byte == b'\n').count()
}
