//! What was changed in chat hosts' files, and how pyro stands in them, for a person.

use serde_json::Value;

use crate::{
    idiom::spoken,
    perform::Asked,
    terminal::{content, remark, say},
};

/// Every change as a small diff, by file.
pub(super) fn changes(reply: &Value) {
    differences(&reply["changes"], "", "before", "after");
    for row in reply["hosts"].as_array().into_iter().flatten() {
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        let was = if row["was"] == row["state"] { "" } else { text("was") };
        let arrow = if was.is_empty() { "" } else { " -> " };
        say(&format!("{} `{}`: {was}{arrow}{}", text("chat_host"), text("name"), text("state")));
        if let Some(problem) = row["problem"].as_str() {
            say(&format!("    {problem}"));
        }
    }
    for backup in reply["backups"].as_array().into_iter().flatten() {
        say(&format!("copy of what could not be read: {}", backup.as_str().unwrap_or_default()));
    }
}

fn differences(rows: &Value, indent: &str, before: &str, after: &str) {
    let mut file = "";
    for row in rows.as_array().into_iter().flatten() {
        let text = |key: &str| row[key].as_str();
        if let Some(name) = text("file").filter(|name| *name != file) {
            file = name;
            say(&format!("{indent}{file}"));
        }
        let key = text("key").unwrap_or_default();
        for (mark, value) in [("-", text(before)), ("+", text(after))] {
            if let Some(value) = value {
                say(&format!("{indent}  {mark} {key} = {value}"));
            }
        }
    }
}

/// The texts, each with the file that it belongs into: on standard error where there is one text,
/// so that it can be piped; else between them, since together they are no file.
pub(super) fn config(reply: &Value) {
    let parts = reply["parts"].as_array().map_or(&[][..], Vec::as_slice);
    for part in parts {
        match part["file"].as_str() {
            Some(file) if parts.len() > 1 => say(&format!("==> {file} <==")),
            Some(file) => remark(&format!("{file}:")),
            None => {}
        }
        content(part["content"].as_str().unwrap_or_default().as_bytes());
    }
}

/// One block for each server, and for each chat host without one.
pub(super) fn doctor(asked: &Asked<'_>, reply: &Value) {
    say(&spoken(reply["verdict"].as_str().unwrap_or_default(), &asked.fields));
    for row in reply["hosts"].as_array().into_iter().flatten() {
        let text = |key: &str| row[key].as_str();
        let name = text("name").map(|name| format!(" `{name}`")).unwrap_or_default();
        let scope = text("scope").map(|scope| format!(", {scope}")).unwrap_or_default();
        let host = text("chat_host").unwrap_or_default();
        say(&format!("{:12}{host}{name}{scope}", text("state").unwrap_or_default()));
        let program = match (text("program"), text("version")) {
            (Some(program), Some(version)) => format!("{program} ({version})"),
            (Some(program), None) => program.to_owned(),
            (None, _) => "not on the PATH".to_owned(),
        };
        say(&format!("    program: {program}"));
        if let Some(file) = text("file") {
            say(&format!("    file: {file}"));
        }
        let words: Vec<&str> =
            row["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !words.is_empty() {
            say(&format!("    command: {}", words.join(" ")));
        }
        for (key, about) in [
            ("only", "only: the chat host's own shell and file-writing tools are denied"),
            ("allow", "allow: pyro's tools are called without asking"),
        ] {
            if row[key] == true {
                say(&format!("    {about}"));
            }
        }
        if let Some(server) = row["server"]["server"].as_str() {
            let took = &row["server"]["answered_ms"];
            say(&format!("    answers: {server}, after {took} ms"));
        }
        if let Some(problem) = text("problem") {
            say(&format!("    problem: {}", spoken(problem, &asked.fields)));
        }
        differences(&row["differences"], "    ", "found", "wanted");
        if let Some(mend) = text("mend") {
            say(&format!("    mend: {mend}"));
        }
    }
}
