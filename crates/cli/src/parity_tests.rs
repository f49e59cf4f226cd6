//! The doors agree, for every row of the list. What is compared is made by the doors' own code.

use std::{collections::BTreeSet, sync::Arc};

use clap::Command;
use pyro_mcp::{Surface, described};
use pyro_operations::{Mode, OPERATIONS, Operation, Profile, Reach, Toolset, story};
use serde_json::{Map, Value, json};

use crate::{
    arguments, conveniences,
    fields::{self, Field, Kind},
    grammar::{self, Leaf, STDIN_MARK},
};

fn leaf(operation: &'static Operation) -> Command {
    let leaf = Leaf::Operation(operation);
    grammar::only(&leaf, &leaf.fields())
}

/// The innermost command, built.
fn innermost(mut command: Command) -> Command {
    command.build();
    let inner = command.get_subcommands().find(|inner| inner.get_name() != "help").cloned();
    inner.map_or(command, innermost)
}

/// A value that a field takes, as JSON and as it is typed.
fn sample(field: &Field) -> (Value, String) {
    match &field.kind {
        Kind::Whole => (json!(17), "17".to_owned()),
        Kind::Switch | Kind::Either => (json!(true), String::new()),
        Kind::Choice(values) => (json!(values[0]), values[0].clone()),
        Kind::List => (json!(["item"]), "item".to_owned()),
        Kind::Map => (json!({"key": "value"}), "key=value".to_owned()),
        Kind::Text if field.command => (json!("cargo test --lib"), "cargo test --lib".to_owned()),
        Kind::Text => (json!("text"), "text".to_owned()),
    }
}

/// The request and the arguments with these fields.
fn call(operation: &Operation, fields: &[&Field]) -> (Value, Vec<String>) {
    let mut request = Map::new();
    let mut typed = vec!["pyro".to_owned()];
    typed.extend(operation.command.iter().map(|word| (*word).to_owned()));
    let mut last = Vec::new();
    for field in fields {
        let (value, text) = sample(field);
        match &field.within {
            None => request.insert(field.name.clone(), value),
            Some(within) => {
                let object = request.entry(within.object.clone()).or_insert_with(|| json!({}));
                object.as_object_mut().unwrap().insert(field.name.clone(), value)
            }
        };
        if field.command {
            last.push("--".to_owned());
            last.extend(text.split(' ').map(str::to_owned));
        } else if field.position.is_some() {
            typed.push(text);
        } else if matches!(field.kind, Kind::Switch | Kind::Either) {
            typed.push(format!("--{}", field.flag));
        } else {
            typed.extend([format!("--{}", field.flag), text]);
        }
    }
    typed.extend(last);
    (Value::Object(request), typed)
}

fn parsed(operation: &'static Operation, typed: &[String]) -> Value {
    let fields = fields::of(&(operation.request_schema)());
    let matches = leaf(operation)
        .try_get_matches_from(typed)
        .unwrap_or_else(|error| panic!("{typed:?}: {error}"));
    let mut inner = &matches;
    while let Some((_, next)) = inner.subcommand() {
        inner = next;
    }
    let requests = arguments::requests(&fields, conveniences::of(operation.name), inner).unwrap();
    assert_eq!(requests.len(), 1);
    requests.into_iter().next().unwrap()
}

#[test]
fn every_row_is_a_command_and_every_row_for_models_is_a_tool() {
    let surface = Surface::new(Toolset::Profile(Profile::WorkspaceFull), Arc::default());
    let tools: BTreeSet<&str> = surface.operations().map(|operation| operation.name).collect();
    for operation in OPERATIONS {
        let found = grammar::find(operation.command.iter().copied());
        assert!(matches!(found, Some(Leaf::Operation(o)) if o.name == operation.name));
        assert_eq!(
            tools.contains(operation.name),
            operation.reach == Reach::Everywhere,
            "{}",
            operation.name
        );
    }
    grammar::tree().debug_assert();
}

#[test]
fn flags_are_the_fields_and_nothing_else() {
    for operation in OPERATIONS {
        let fields = fields::of(&(operation.request_schema)());
        let mut expected: BTreeSet<String> = fields.iter().map(|f| f.name.clone()).collect();
        for field in fields.iter().filter(|field| field.content) {
            expected.extend([grammar::file_flag(field), STDIN_MARK.to_owned()]);
        }
        let extras = conveniences::of(operation.name).iter().filter_map(|extra| extra.flag());
        expected.extend(extras.map(str::to_owned));
        let common = ["help", "version", "home", "config", "json", "verbose"];
        let command = innermost(leaf(operation));
        let found: BTreeSet<String> = command
            .get_arguments()
            .map(|argument| argument.get_id().to_string())
            .filter(|id| !common.contains(&id.as_str()))
            .collect();
        assert_eq!(found, expected, "{}", operation.name);
        for field in fields.iter().filter(|f| f.position.is_none() && !f.command) {
            let argument = command.get_arguments().find(|a| a.get_id() == field.name.as_str());
            assert_eq!(argument.unwrap().get_long(), Some(field.flag.as_str()));
        }
    }
}

#[test]
fn minimal_and_full_arguments_are_the_same_json() {
    for operation in OPERATIONS {
        let fields = fields::of(&(operation.request_schema)());
        let required: Vec<&Field> = fields.iter().filter(|field| field.required).collect();
        let (request, typed) = call(operation, &required);
        assert_eq!(parsed(operation, &typed), request, "{}", operation.name);
        // Every other field beside the required ones, one at a time.
        for extra in fields.iter().filter(|field| !field.required) {
            let with: Vec<&Field> =
                fields.iter().filter(|f| f.required || f.name == extra.name).collect();
            let skips_a_position = extra.position.is_some_and(|at| {
                (0..at).any(|before| !with.iter().any(|field| field.position == Some(before)))
            });
            if !skips_a_position {
                let (request, typed) = call(operation, &with);
                assert_eq!(parsed(operation, &typed), request, "{} {}", operation.name, extra.name);
            }
        }
    }
}

#[test]
fn what_a_schema_requires_a_command_requires() {
    for operation in OPERATIONS {
        let fields = fields::of(&(operation.request_schema)());
        let required: Vec<&Field> = fields.iter().filter(|field| field.required).collect();
        for left_out in &required {
            let rest: Vec<&Field> =
                required.iter().copied().filter(|f| f.name != left_out.name).collect();
            let (_, typed) = call(operation, &rest);
            let refused = leaf(operation).try_get_matches_from(&typed).is_err();
            assert!(refused, "{} without {}", operation.name, left_out.name);
        }
    }
}

#[test]
fn tools_leave_out_what_is_marked_and_what_their_story_has_no_use_for_and_nothing_else() {
    for set in Toolset::all() {
        let surface = Surface::new(set, Arc::default());
        for (operation, tool) in surface.operations().zip(surface.tools()) {
            let full = (operation.request_schema)();
            let tool = described(tool);
            let shown: BTreeSet<&String> =
                tool["inputSchema"]["properties"].as_object().unwrap().keys().collect();
            let expected: BTreeSet<&String> = full["properties"]
                .as_object()
                .unwrap()
                .iter()
                .filter(|(name, field)| match set {
                    Toolset::Profile(Profile::WorkspaceFull) => true,
                    Toolset::Profile(_) => field.get("x-full").is_none(),
                    Toolset::Mode(mode) => {
                        field.get("x-full").is_none()
                            && !story::withholds(mode, operation.name, name)
                    }
                })
                .map(|(name, _)| name)
                .collect();
            assert_eq!(shown, expected, "{} in {}", operation.name, set.as_str());
            let text = tool.to_string();
            for bad in [
                "\"x-",
                "\"$ref\"",
                "\"$defs\"",
                "\"anyOf\"",
                "\"oneOf\"",
                "\"allOf\"",
                "\"null\"",
                "\"default\":\"",
                "\"default\":null",
                "\"default\":false",
                "\"const\"",
            ] {
                assert!(!text.contains(bad), "{}: {bad}", operation.name);
            }
            assert_eq!(tool["outputSchema"]["type"], "object");
            for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
                assert!(tool["annotations"][hint].is_boolean(), "{}: {hint}", operation.name);
            }
            // Without a repository and with the network off, nothing reaches out.
            assert_eq!(tool["annotations"]["openWorldHint"], false, "{}", operation.name);
        }
    }
}

#[test]
fn no_story_edits_without_being_about_it_and_inspection_has_no_network() {
    let tools = |mode| {
        let surface = Surface::new(Toolset::Mode(mode), Arc::default());
        surface.operations().map(|operation| operation.name).collect::<Vec<_>>()
    };
    for mode in Mode::ALL {
        let edits = tools(*mode).iter().any(|name| name.contains("write") || name.contains("edit"));
        assert_eq!(edits, *mode == Mode::ReproFix, "{}", mode.as_str());
        for tool in Surface::new(Toolset::Mode(*mode), Arc::default()).tools() {
            let fields = described(tool)["inputSchema"]["properties"].clone();
            assert!(fields.get("network").is_none(), "{}", tool.name);
        }
    }
}

#[test]
fn no_field_is_called_like_a_global_flag() {
    for operation in OPERATIONS {
        for field in fields::of(&(operation.request_schema)()) {
            assert!(!["home", "config", "json", "verbose", "help"].contains(&field.flag.as_str()));
        }
    }
}

#[test]
fn conveniences_fill_fields() {
    let fill = |name: &str, typed: &[&str]| {
        let operation = pyro_operations::list::find(name).unwrap();
        let mut all = vec!["pyro".to_owned()];
        all.extend(operation.command.iter().chain(typed).map(|word| (*word).to_owned()));
        parsed(operation, &all)
    };
    assert_eq!(
        fill("vm_run", &["--here", "--detach", "host", "--", "a b", "c"]),
        json!({"environment": "host", "command": "'a b' c", "wait_s": 0, "seed_path": "."})
    );
    assert_eq!(fill("workspace_list", &["--running"]), json!({"state": "running"}));
    assert_eq!(
        fill("workspace_file_write", &["w", "p", "--text", "-x", "--executable=false"]),
        json!({"workspace": "w", "path": "p", "content": "-x", "executable": false})
    );
    assert_eq!(
        fill("workspace_file_edit", &["w", "p", "--old-string", "- a", "--new-string", "--json"]),
        json!({"workspace": "w", "path": "p", "old_string": "- a", "new_string": "--json"})
    );
}

#[test]
fn a_server_speaks_only_of_tools_that_it_shows() {
    for set in Toolset::all() {
        let surface = Surface::new(set, Arc::default());
        let mut texts = vec![pyro_mcp::instructions(&surface)];
        texts.extend(pyro_mcp::prompts(&surface).into_iter().map(|(_, text)| text));
        texts.extend(
            surface.tools().map(|tool| tool.description.clone().unwrap_or_default().into()),
        );
        for text in texts {
            for operation in OPERATIONS.iter().filter(|operation| !operation.is_in(set)) {
                let names = |word: &str| operation.name.contains('_') && word == operation.name;
                let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                assert!(!words.any(names), "{} in {}: {text}", operation.name, set.as_str());
            }
        }
    }
}
