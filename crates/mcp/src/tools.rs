//! Which tools a server shows, and how each is described: rows of the list as MCP tools.

use std::sync::Arc;

use pyro_engine::Fence;
use pyro_operations::{Effect, OPERATIONS, Operation, Profile, list, schema};
use rmcp::model::{JsonObject, MetaObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

/// The tools of one server.
#[derive(Debug)]
pub struct Surface {
    tools: Vec<(&'static Operation, Tool)>,
}

impl Surface {
    /// What a server with this profile shows, within what its user allows.
    #[must_use]
    pub fn new(profile: Profile, fence: &Fence) -> Self {
        let tools = OPERATIONS
            .iter()
            .filter(|operation| operation.is_in(profile))
            .map(|operation| (operation, tool(operation, profile, fence)))
            .collect();
        Self { tools }
    }

    /// The tools, in the order of the list.
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        self.tools.iter().map(|(_, tool)| tool)
    }

    /// The rows behind them.
    pub fn operations(&self) -> impl Iterator<Item = &'static Operation> {
        self.tools.iter().map(|(operation, _)| *operation)
    }

    /// One tool by its name.
    pub(crate) fn find(&self, name: &str) -> Option<(&'static Operation, &Tool)> {
        self.tools
            .iter()
            .find(|(operation, _)| operation.name == name)
            .map(|(operation, tool)| (*operation, tool))
    }
}

/// A tool as it goes over the wire, for the reference pages.
#[must_use]
pub fn described(tool: &Tool) -> Value {
    serde_json::to_value(tool).unwrap_or_default()
}

fn tool(operation: &Operation, profile: Profile, fence: &Fence) -> Tool {
    let input = shown(operation, profile);
    let annotations = ToolAnnotations::from_raw(
        Some(operation.title.to_owned()),
        Some(operation.effect == Effect::Reads),
        Some(operation.effect == Effect::Destroys),
        Some(operation.idempotent),
        Some(operation.open_world && reaches_out(&input, fence)),
    );
    let description = format!("{}{}", summary(operation, profile), source(&input, fence));
    let output = object(schema::without_hints(&(operation.reply_schema)()));
    let tool = Tool::new(operation.name, description, Arc::new(object(input)))
        .with_title(operation.title)
        .with_raw_output_schema(Arc::new(output))
        .with_annotations(annotations);
    // Claude Code hides tools behind a search unless told otherwise.
    if operation.profiles.contains(&Profile::WorkspaceCore) {
        tool.with_meta(MetaObject(object(json!({"anthropic/alwaysLoad": true}))))
    } else {
        tool
    }
}

/// What the tool does, without sentences about tools that this server does not show.
fn summary(operation: &Operation, profile: Profile) -> String {
    let absent = |sentence: &str| {
        let words = sentence.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter_map(list::find).any(|named| !named.is_in(profile))
    };
    let sentences = operation.summary.split_inclusive(". ").filter(|sentence| !absent(sentence));
    sentences.collect::<String>().trim_end().to_owned()
}

/// Whether a call of this tool may reach beyond this host. Workspaces have no network so far; a
/// repository that the user named is cloned on the host.
fn reaches_out(input: &Value, fence: &Fence) -> bool {
    fence.repository.is_some() && input["properties"].get("repo_url").is_some()
}

/// The request's schema as this profile shows it.
fn shown(operation: &Operation, profile: Profile) -> Value {
    let mut full = (operation.request_schema)();
    if profile != Profile::WorkspaceFull
        && let Some(properties) = full.get_mut("properties").and_then(Value::as_object_mut)
    {
        properties.retain(|_, property| property.get("x-full").is_none());
    }
    if let Value::Object(root) = &mut full {
        // The row's summary says the same at the tool.
        root.remove("description");
    }
    schema::without_hints(&full)
}

/// What a tool that seeds takes when it is not told.
fn source(input: &Value, fence: &Fence) -> String {
    if input["properties"].get("no_seed").is_none() {
        return String::new();
    }
    match (&fence.repository, &fence.project) {
        (Some((url, None)), _) => format!(" The project is the repository {url}."),
        (Some((url, Some(at))), _) => format!(" The project is the repository {url} at {at}."),
        (None, Some(path)) => format!(" The project is {} on the host.", path.display()),
        (None, None) => {
            " No project is set: without a source the workspace begins empty.".to_owned()
        }
    }
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(map) => map,
        _ => JsonObject::new(),
    }
}
