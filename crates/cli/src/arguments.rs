//! What was typed, as the JSON of a request: what the other doors send.

use std::{
    fs::File,
    io::{Read, stdin},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::ArgMatches;
use pyro::{Code, Failure};
use pyro_model::limits;
use serde_json::{Map, Value};

use crate::{
    conveniences::Extra,
    fields::{Field, Kind},
    grammar::{STDIN_MARK, file_flag},
    shell_line,
};

/// The requests: one, or one for each of several positions.
pub(crate) fn requests(
    fields: &[Field],
    extras: &[Extra],
    matches: &ArgMatches,
) -> Result<Vec<Value>, Failure> {
    let mut request = Map::new();
    let mut several: Vec<Value> = Vec::new();
    let mut from_stdin = is_given(matches, STDIN_MARK);
    for field in fields {
        if field.position.is_some() && extras.contains(&Extra::Several) {
            let values = matches.get_many::<String>(&field.name).into_iter().flatten();
            several = values.map(|v| Value::String(v.clone())).collect();
            continue;
        }
        if field.content {
            if let Some(content) = content(field, fields, matches, from_stdin, &mut request)? {
                request.insert(field.name.clone(), Value::String(content));
            }
            continue;
        }
        match value(field, matches)? {
            // `run - -- cat`: the first position is optional, and this is not it.
            Some(Value::String(word))
                if word == "-" && !field.required && fields.iter().any(|f| f.content) =>
            {
                from_stdin = true;
            }
            Some(value) => insert(&mut request, field, value),
            None => {}
        }
    }
    fill(extras, matches, &mut request);
    let position = fields.iter().find(|field| field.position.is_some());
    Ok(match position {
        Some(field) if !several.is_empty() => several
            .into_iter()
            .map(|value| {
                let mut one = request.clone();
                one.insert(field.name.clone(), value);
                Value::Object(one)
            })
            .collect(),
        _ => vec![Value::Object(request)],
    })
}

/// A value in its place, which may be an object of the request.
fn insert(request: &mut Map<String, Value>, field: &Field, value: Value) {
    let Some(within) = &field.within else {
        request.insert(field.name.clone(), value);
        return;
    };
    let object = request.entry(within.object.clone()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(object) = object {
        object.insert(field.name.clone(), value);
    }
}

/// What the conveniences fill in.
fn fill(extras: &[Extra], matches: &ArgMatches, request: &mut Map<String, Value>) {
    for extra in extras {
        let Some(flag) = extra.flag().filter(|flag| matches.get_flag(flag)) else { continue };
        let filled = match (extra, flag) {
            (Extra::Detach, _) => ("wait_s", Value::from(0)),
            (Extra::Here, _) => ("seed_path", Value::from(".")),
            (Extra::Running, _) => ("state", Value::from("running")),
            (Extra::IdOnly | Extra::ContentOnly | Extra::Yes | Extra::Several, _) => continue,
        };
        request.insert(filled.0.to_owned(), filled.1);
    }
}

fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).unwrap_or(false)
}

fn value(field: &Field, matches: &ArgMatches) -> Result<Option<Value>, Failure> {
    let id = field.name.as_str();
    if field.command {
        let words = matches.get_many::<String>(id).into_iter().flatten().map(String::as_str);
        let line = shell_line::join(words);
        return Ok((!line.is_empty()).then_some(Value::String(line)));
    }
    Ok(match field.kind {
        Kind::Switch => matches.get_flag(id).then_some(Value::Bool(true)),
        Kind::Either => matches.get_one::<bool>(id).map(|given| Value::Bool(*given)),
        Kind::Whole => matches.get_one::<u64>(id).map(|number| Value::from(*number)),
        Kind::List => matches
            .get_many::<String>(id)
            .map(|items| items.map(|item| Value::String(item.clone())).collect()),
        Kind::Map => match matches.get_many::<String>(id) {
            Some(pairs) => Some(map(field, pairs)?),
            None => None,
        },
        Kind::Text | Kind::Choice(_) => {
            matches.get_one::<String>(id).map(|text| Value::String(text.clone()))
        }
    })
}

fn map<'a>(field: &Field, pairs: impl Iterator<Item = &'a String>) -> Result<Value, Failure> {
    let mut map = Map::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Failure::new(Code::InvalidArgument, format!("--{} `{pair}`: give K=V", field.flag))
        })?;
        if map.insert(key.to_owned(), Value::String(value.to_owned())).is_some() {
            let message = format!("--{}: `{key}` is given twice", field.flag);
            return Err(Failure::new(Code::InvalidArgument, message));
        }
    }
    Ok(Value::Object(map))
}

/// A content field: as it was typed, from a file, or from standard input.
fn content(
    field: &Field,
    fields: &[Field],
    matches: &ArgMatches,
    from_stdin: bool,
    request: &mut Map<String, Value>,
) -> Result<Option<String>, Failure> {
    if let Some(text) = matches.get_one::<String>(&field.name) {
        return Ok(Some(text.clone()));
    }
    let dash = PathBuf::from("-");
    let path = match matches.get_one::<PathBuf>(&file_flag(field)) {
        Some(path) => path,
        None if from_stdin => &dash,
        None => return Ok(None),
    };
    let bytes = read(path)?;
    let encoding = fields.iter().find(|field| field.name == "encoding");
    let typed = encoding.is_some_and(|field| is_given(matches, &field.name));
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        // Bytes travel as base64 where the request can say so.
        Err(other) if encoding.is_some() && !typed => {
            request.insert("encoding".to_owned(), Value::from("base64"));
            Ok(Some(STANDARD.encode(other.as_bytes())))
        }
        Err(_) => {
            let message = format!("{} is not UTF-8, so it cannot be {}", show(path), field.name);
            Err(Failure::new(Code::NotText, message))
        }
    }
}

fn show(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// Reads at most what the largest request may hold; the request's own check has the exact bound.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let most = 2 * limits::FILE_WRITE_BYTES as u64;
    let mut bytes = Vec::new();
    let done = if path == Path::new("-") {
        stdin().take(most + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
    };
    match done {
        Ok(_) if bytes.len() as u64 > most => Err(Failure::new(
            Code::TooLarge,
            format!("{} is over {} bytes", show(path), limits::FILE_WRITE_BYTES),
        )),
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::new(Code::NotFound, format!("{} does not exist", show(path)))
                .detail("kind", "host_file"))
        }
        Err(error) => {
            Err(Failure::new(Code::InvalidArgument, format!("read {}: {error}", show(path))))
        }
    }
}
