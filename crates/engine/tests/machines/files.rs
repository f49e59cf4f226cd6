//! The file tools against a model: what was written is read, listed and edited as a plain map of
//! files says.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::{collection::vec, prelude::*, sample::select};
use pyro_operations::Code;
use serde_json::json;

use super::support::{Home, text};

const NAMES: &[&str] =
    &["a", "b c", "d/e", "d/f/g", "ü/ö", "-x", "quo\"te", "d/new\nline", ".hidden"];

#[derive(Debug, Clone)]
enum Step {
    Write(&'static str, Vec<u8>, Option<bool>),
    Edit(&'static str, String, String, bool),
    Remove(&'static str),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[ab\n]{0,40}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..200),
        1 => "\\PC{0,60}".prop_map(String::into_bytes),
        1 => (1usize..50_000).prop_map(|n| b"a line of some length\r\n".repeat(n / 20)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (select(NAMES), bytes(), any::<Option<bool>>())
            .prop_map(|(n, b, x)| Step::Write(n, b, x)),
        4 => (select(NAMES), "[ab\n]{1,2}", "[ abç]{0,3}", any::<bool>())
            .prop_map(|(n, old, new, all)| Step::Edit(n, old, new, all)),
        1 => select(NAMES).prop_map(Step::Remove),
    ]
}

type Model = BTreeMap<&'static str, (Vec<u8>, bool)>;

fn take(home: &Home, workspace: &str, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::Write(name, bytes, executable) => {
            let mut request = json!({"workspace": workspace, "path": name});
            match String::from_utf8(bytes.clone()) {
                Ok(text) => request["content"] = json!(text),
                Err(_) => {
                    request["content"] = json!(STANDARD.encode(&bytes));
                    request["encoding"] = json!("base64");
                }
            }
            if let Some(executable) = executable {
                request["executable"] = json!(executable);
            }
            let reply = home.ok("workspace_file_write", request);
            let before = model.get(name);
            let mode = executable.unwrap_or(before.is_some_and(|(_, executable)| *executable));
            let now = (bytes, mode);
            let told = match before {
                None => json!("created"),
                Some(old) if *old == now => json!(null),
                Some(_) => json!("modified"),
            };
            prop_assert_eq!(&reply["files"][0]["change"], &told, "{}", reply);
            model.insert(name, now);
        }
        Step::Edit(name, old, new, all) => {
            let request = json!({"workspace": workspace, "path": name, "old_string": old,
                "new_string": new, "replace_all": all});
            let wanted = match model.get(name).map(|(bytes, _)| std::str::from_utf8(bytes)) {
                _ if old == new => Err(Code::InvalidArgument),
                None => Err(Code::NotFound),
                Some(Err(_)) => Err(Code::NotText),
                Some(Ok(text)) => match text.matches(&old).count() {
                    0 => Err(Code::Conflict),
                    n if n > 1 && !all => Err(Code::Conflict),
                    n => Ok((text.replace(&old, &new), n)),
                },
            };
            let reply = home.call("workspace_file_edit", request);
            match (reply, wanted) {
                (Ok(reply), Ok((text, times))) => {
                    prop_assert_eq!(&reply["replacements"], &json!(times));
                    model.get_mut(name).unwrap().0 = text.into_bytes();
                }
                (Err(failure), Err(code)) => {
                    prop_assert_eq!(failure.code, code);
                    prop_assert!(!failure.hint.is_empty());
                }
                (found, wanted) => prop_assert!(false, "{found:?}, wanted {wanted:?}"),
            }
        }
        Step::Remove(name) => {
            let path = name.replace('\'', "'\\''");
            home.sh(workspace, &format!("rm -f './{path}'"));
            model.remove(name);
        }
    }
    Ok(())
}

/// Reads a file in parts, as text where it is.
fn read(home: &Home, workspace: &str, name: &str, is_text: bool) -> Vec<u8> {
    let mut content = Vec::new();
    let mut offset = 0;
    loop {
        let reply = home.ok(
            "workspace_file_read",
            json!({"workspace": workspace, "path": name, "offset": offset,
                "encoding": if is_text { "utf8" } else { "base64" }}),
        );
        let part = text(&reply["content"]);
        assert!(part.chars().count() <= 30_000, "{}", reply["verdict"]);
        let part_has_newline = part.contains('\n');
        if is_text {
            content.extend_from_slice(part.as_bytes());
        } else {
            content.extend_from_slice(&STANDARD.decode(part).unwrap());
        }
        if reply.get("notices").is_some() {
            // A line that no part of text holds.
            assert!(is_text && !part_has_newline, "{reply}");
            return read(home, workspace, name, false);
        }
        match reply["next_offset"].as_u64() {
            Some(next) => offset = next,
            None => {
                assert_eq!(reply["bytes"], content.len());
                return content;
            }
        }
    }
}

#[test]
fn files_are_what_was_written() {
    let home = Home::new();
    let workspace = home.create_empty();
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() };
    proptest!(config, |(steps in vec(step(), 1..12))| {
        home.ok("workspace_reset", json!({"workspace": workspace}));
        let mut model = Model::new();
        for step in steps {
            take(&home, &workspace, &mut model, step)?;
        }
        let listed = home.ok("workspace_file_list", json!({"workspace": workspace, "depth": 9}));
        let listed: BTreeMap<String, (u64, bool)> = listed["entries"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["type"] == "file")
            .map(|row| {
                let facts = (row["bytes"].as_u64().unwrap(), row["executable"] == true);
                (text(&row["path"]), facts)
            })
            .collect();
        let wanted: BTreeMap<String, (u64, bool)> = model
            .iter()
            .map(|(name, (bytes, mode))| ((*name).to_owned(), (bytes.len() as u64, *mode)))
            .collect();
        prop_assert_eq!(listed, wanted);
        for (name, (bytes, _)) in &model {
            let is_text = std::str::from_utf8(bytes).is_ok();
            prop_assert_eq!(&read(&home, &workspace, name, is_text), bytes, "{}", name);
        }
    });
}

#[test]
fn a_long_listing_is_cut_and_says_so() {
    let home = Home::new();
    let workspace = home.create_empty();
    home.sh(&workspace, "mkdir d && cd d && for n in $(seq 1 700); do : > f$n; done");
    let reply = home.ok("workspace_file_list", json!({"workspace": workspace}));
    assert_eq!(reply["truncated"], true);
    assert_eq!(reply["entries"].as_array().unwrap().len(), 500);
    let reply = home.ok(
        "workspace_file_list",
        json!({"workspace": workspace, "path": "d", "glob": "f7*", "limit": 5000}),
    );
    assert_eq!(reply["entries"].as_array().unwrap().len(), 12, "{}", reply["verdict"]);
    assert_eq!(reply["truncated"], false);
}
