//! What a person can hand to a model by reference: `pyro://workspace/ID/diff` and its like, each the
//! reply of an operation as text. A row whose operation a server does not show is not there.

use pyro_model::limits;
use pyro_operations::{Code, Failure, Operation, list};
use rmcp::{
    ErrorData,
    model::{JsonObject, ReadResourceResult, Resource, ResourceContents, ResourceTemplate},
};
use serde_json::{Value, json};

use crate::{Surface, bound};

const ROOT: &str = "pyro://workspace/";
const MIME: &str = "text/plain";
/// What stands for the workspace in a template.
const ARGUMENT: &str = "workspace";
/// Workspaces of one page.
const PAGE: u64 = 50;
/// What a completion may answer.
const COMPLETIONS: usize = 100;

/// One kind of resource.
struct Kind {
    /// The last part of its address.
    name: &'static str,
    operation: &'static str,
    title: &'static str,
    about: &'static str,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "diff",
        operation: "workspace_diff",
        title: "Changes of a workspace",
        about: "What changed in the workspace since it was made, with the patch.",
    },
    Kind {
        name: "summary",
        operation: "workspace_summary",
        title: "Summary of a workspace",
        about: "What was done in the workspace since the last reset.",
    },
];

fn kinds(surface: &Surface) -> impl Iterator<Item = (&'static Kind, &'static Operation)> {
    KINDS.iter().filter_map(|kind| {
        let operation = list::find(kind.operation)?;
        surface.shows(operation.name).then_some((kind, operation))
    })
}

/// Whether there are any.
pub(crate) fn any(surface: &Surface) -> bool {
    kinds(surface).next().is_some()
}

/// The addresses with a hole for the workspace.
pub(crate) fn templates(surface: &Surface) -> Vec<ResourceTemplate> {
    kinds(surface)
        .map(|(kind, _)| {
            ResourceTemplate::new(format!("{ROOT}{{{ARGUMENT}}}/{}", kind.name), kind.name)
                .with_title(kind.title)
                .with_description(format!(
                    "{} Its id or its name stands in the address.",
                    kind.about
                ))
                .with_mime_type(MIME)
        })
        .collect()
}

/// The arguments that ask for a page of the workspaces.
pub(crate) fn page(cursor: Option<String>) -> JsonObject {
    let mut arguments = JsonObject::new();
    arguments.insert("limit".to_owned(), PAGE.into());
    if let Some(cursor) = cursor {
        arguments.insert("cursor".to_owned(), cursor.into());
    }
    arguments
}

/// The resources of the workspaces that a list answered, and where its next page begins.
pub(crate) fn listed(surface: &Surface, reply: &Value) -> (Vec<Resource>, Option<String>) {
    let mut resources = Vec::new();
    for row in reply["workspaces"].as_array().into_iter().flatten() {
        let Some(id) = row["workspace"].as_str() else { continue };
        let called = row["name"].as_str().unwrap_or(id);
        for (kind, _) in kinds(surface) {
            let resource = Resource::new(
                format!("{ROOT}{id}/{}", kind.name),
                format!("{called} {}", kind.name),
            )
            .with_title(format!("{}: {called}", kind.title))
            .with_description(kind.about)
            .with_mime_type(MIME);
            resources.push(resource);
        }
    }
    (resources, reply["next_cursor"].as_str().map(str::to_owned))
}

/// The call that reads an address.
pub(crate) fn reading(surface: &Surface, uri: &str) -> Option<(&'static str, JsonObject)> {
    let (workspace, name) = uri.strip_prefix(ROOT)?.split_once('/')?;
    let (_, operation) = kinds(surface).find(|(kind, _)| kind.name == name)?;
    let mut arguments = JsonObject::new();
    arguments.insert("workspace".to_owned(), workspace.into());
    if (operation.request_schema)()["properties"].get("max_output_chars").is_some() {
        arguments.insert("max_output_chars".to_owned(), limits::OUTPUT_CHARACTERS_MOST.into());
    }
    Some((operation.name, arguments))
}

/// What reading answers.
pub(crate) fn contents(uri: &str, reply: Value) -> ReadResourceResult {
    let text = bound::text_of(&bound::fit(reply));
    ReadResourceResult::new(vec![ResourceContents::text(text, uri).with_mime_type(MIME)])
}

/// There is nothing at an address.
pub(crate) fn not_found(surface: &Surface, uri: &str) -> ErrorData {
    let shown: Vec<String> =
        templates(surface).into_iter().map(|template| template.uri_template).collect();
    let uri: String = uri.chars().take(200).collect();
    let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(", ") };
    let message = format!("resource `{uri}` does not exist here; there is {shown}");
    ErrorData::resource_not_found(message, Some(json!({ "uri": uri })))
}

/// An operation's failure as the protocol's error: resources have no other way to say it.
pub(crate) fn refused(failure: &Failure, uri: Option<&str>) -> ErrorData {
    let message = if failure.hint.is_empty() {
        format!("{failure}")
    } else {
        format!("{failure}. {}", failure.hint)
    };
    let uri = uri.map(|uri| uri.chars().take(200).collect::<String>());
    match (failure.code, uri) {
        (Code::NotFound | Code::Ambiguous | Code::NotPermitted, Some(uri)) => {
            ErrorData::resource_not_found(message, Some(json!({ "uri": uri })))
        }
        (Code::InvalidArgument, _) => ErrorData::invalid_params(message, None),
        _ => ErrorData::internal_error(message, serde_json::to_value(failure).ok()),
    }
}

/// Whether workspaces complete this argument of this address.
pub(crate) fn completes(surface: &Surface, uri: &str, argument: &str) -> bool {
    argument == ARGUMENT && templates(surface).iter().any(|template| template.uri_template == uri)
}

/// Names and ids of the workspaces that a list answered, which begin with what is typed.
pub(crate) fn completions(reply: &Value, typed: &str) -> Vec<String> {
    let rows = reply["workspaces"].as_array().into_iter().flatten();
    let words = rows.flat_map(|row| [row["name"].as_str(), row["workspace"].as_str()]);
    let fitting = words.flatten().filter(|word| word.starts_with(typed));
    fitting.take(COMPLETIONS).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pyro_operations::{Mode, Profile, Toolset};

    use super::*;

    fn surface(set: Toolset) -> Surface {
        Surface::new(set, Arc::default())
    }

    #[test]
    fn an_address_is_read_by_its_operation() {
        let core = surface(Toolset::Profile(Profile::WorkspaceCore));
        let (operation, arguments) = reading(&core, "pyro://workspace/ws_abc/diff").unwrap();
        assert_eq!(operation, "workspace_diff");
        assert_eq!(arguments["workspace"], "ws_abc");
        assert_eq!(arguments["max_output_chars"], limits::OUTPUT_CHARACTERS_MOST);
        for nothing in [
            "",
            "pyro://workspace/ws_abc",
            "pyro://workspace/ws_abc/",
            "pyro://workspace/ws_abc/diff/",
            "pyro://workspace/ws_abc/nothing",
            "file:///etc/passwd",
        ] {
            assert!(reading(&core, nothing).is_none(), "{nothing}");
        }
        let inspect = surface(Toolset::Mode(Mode::Inspect));
        assert!(reading(&inspect, "pyro://workspace/ws_abc/diff").is_none());
        assert!(!any(&surface(Toolset::Profile(Profile::VmRun))));
    }

    #[test]
    fn workspaces_are_listed_and_completed_by_name_and_id() {
        let core = surface(Toolset::Profile(Profile::WorkspaceCore));
        let reply = json!({
            "workspaces": [{"workspace": "ws_a", "name": "fix"}, {"workspace": "ws_b"}],
            "next_cursor": "50",
        });
        let (resources, next) = listed(&core, &reply);
        let uris: Vec<&str> = resources.iter().map(|resource| resource.uri.as_str()).collect();
        let kinds = templates(&core).len();
        assert_eq!(uris.len(), 2 * kinds);
        assert_eq!(uris[0], "pyro://workspace/ws_a/diff");
        assert_eq!(next.as_deref(), Some("50"));
        assert!(completes(&core, "pyro://workspace/{workspace}/diff", "workspace"));
        assert!(!completes(&core, "pyro://workspace/{workspace}/diff", "other"));
        assert_eq!(completions(&reply, ""), ["fix", "ws_a", "ws_b"]);
        assert_eq!(completions(&reply, "ws_b"), ["ws_b"]);
    }

    #[test]
    fn failures_are_errors_of_the_protocol() {
        let missing =
            Failure::new(Code::NotFound, "workspace `a` does not exist").hint("list them");
        assert_eq!(refused(&missing, Some("u")).code.0, -32002);
        let long = refused(&missing, Some(&"u".repeat(1 << 20)));
        assert!(serde_json::to_string(&long).unwrap().len() < 1_000);
        let broken = Failure::new(Code::StoreDamaged, "the store is damaged");
        assert_eq!(refused(&broken, Some("u")).code.0, -32603);
        let wrong = Failure::new(Code::InvalidArgument, "cursor: give next_cursor");
        assert_eq!(refused(&wrong, None).code.0, -32602);
    }
}
