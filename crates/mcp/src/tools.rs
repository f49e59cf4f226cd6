//! Which tools a server shows, and how each is described: rows of the list as MCP tools.

use std::sync::{Arc, OnceLock};

use pyro_engine::{Fence, NetworkCeiling};
use pyro_operations::{Effect, OPERATIONS, Operation, Profile, Toolset, list, schema, story};
use rmcp::model::{JsonObject, MetaObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

use crate::outline::outline;

/// The tools of one server. Their schemas are made when they are first asked for, so that a client
/// is greeted at once.
#[derive(Debug)]
pub struct Surface {
    set: Toolset,
    fence: Arc<Fence>,
    tools: OnceLock<Vec<Shown>>,
}

/// One tool.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) operation: &'static Operation,
    pub(crate) tool: Tool,
    /// Fields that the operation has and this server does not show.
    pub(crate) withheld: Vec<String>,
}

impl Surface {
    /// What a server with these tools shows, within what its user allows.
    #[must_use]
    pub fn new(set: Toolset, fence: Arc<Fence>) -> Self {
        Self { set, fence, tools: OnceLock::new() }
    }

    /// Which tools these are.
    pub(crate) fn set(&self) -> Toolset {
        self.set
    }

    /// The environment that the user pinned.
    pub(crate) fn environment(&self) -> Option<&str> {
        self.fence.environment.as_deref()
    }

    /// The rows behind the tools, in the order of the list.
    pub fn operations(&self) -> impl Iterator<Item = &'static Operation> {
        let set = self.set;
        OPERATIONS.iter().filter(move |operation| operation.is_in(set))
    }

    /// The tools, in the same order.
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        self.shown().iter().map(|shown| &shown.tool)
    }

    /// Whether there is a tool of this name.
    pub(crate) fn shows(&self, name: &str) -> bool {
        self.operations().any(|operation| operation.name == name)
    }

    /// One tool by its name.
    pub(crate) fn find(&self, name: &str) -> Option<&Shown> {
        self.shown().iter().find(|shown| shown.operation.name == name)
    }

    fn shown(&self) -> &[Shown] {
        self.tools.get_or_init(|| {
            self.operations().map(|operation| show(operation, self.set, &self.fence)).collect()
        })
    }
}

/// A tool as it goes over the wire, for the reference pages.
#[must_use]
pub fn described(tool: &Tool) -> Value {
    serde_json::to_value(tool).unwrap_or_default()
}

fn show(operation: &'static Operation, set: Toolset, fence: &Fence) -> Shown {
    let (input, withheld) = narrowed(operation, set);
    let annotations = ToolAnnotations::from_raw(
        // It stands at the tool itself.
        None,
        Some(operation.effect == Effect::Reads),
        Some(operation.effect == Effect::Destroys),
        Some(operation.idempotent),
        Some(operation.open_world && reaches_out(&input, fence)),
    );
    let full = (operation.request_schema)();
    let description = format!("{}{}", summary(operation, set), source(&full, fence));
    let output = object(outline(&(operation.reply_schema)()));
    let tool = Tool::new(operation.name, description, Arc::new(object(input)))
        .with_title(operation.title)
        .with_raw_output_schema(Arc::new(output))
        .with_annotations(annotations);
    // Claude Code hides tools behind a search unless told otherwise.
    let tool = if operation.profiles.contains(&Profile::WorkspaceCore) {
        tool.with_meta(MetaObject(object(json!({"anthropic/alwaysLoad": true}))))
    } else {
        tool
    };
    Shown { operation, tool, withheld }
}

/// What the tool does, without sentences about tools that this server does not show.
fn summary(operation: &Operation, set: Toolset) -> String {
    let absent = |sentence: &str| {
        let words = sentence.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter_map(list::find).any(|named| !named.is_in(set))
    };
    let own = match set {
        Toolset::Mode(mode) => story::summary(mode, operation.name),
        Toolset::Profile(_) => None,
    };
    let sentences =
        own.unwrap_or(operation.summary).split_inclusive(". ").filter(|sentence| !absent(sentence));
    sentences.collect::<String>().trim_end().to_owned()
}

/// Whether a call of this tool may reach beyond this host: from a workspace, where the user allows
/// that, or from the host itself, where a repository that the user named is cloned.
fn reaches_out(input: &Value, fence: &Fence) -> bool {
    let clones = input["properties"].get("repo_url").is_some();
    fence.network != NetworkCeiling::Off || (clones && fence.project.repository().is_some())
}

/// The request's schema as this server shows it, and the fields that it leaves out.
fn narrowed(operation: &Operation, set: Toolset) -> (Value, Vec<String>) {
    let mut full = (operation.request_schema)();
    let mut withheld = Vec::new();
    if set != Toolset::Profile(Profile::WorkspaceFull)
        && let Some(properties) = full.get_mut("properties").and_then(Value::as_object_mut)
    {
        properties.retain(|name, property| {
            let stays = property.get("x-full").is_none()
                && !matches!(set, Toolset::Mode(mode) if story::withholds(mode, operation.name, name));
            if !stays {
                withheld.push(name.clone());
            }
            stays
        });
    }
    if let Value::Object(root) = &mut full {
        // The row's summary says the same at the tool.
        root.remove("description");
    }
    (schema::without_hints(&full), withheld)
}

/// What a tool that seeds takes when it is not told.
fn source(input: &Value, fence: &Fence) -> String {
    if input["properties"].get("no_seed").is_none() {
        return String::new();
    }
    format!(" {}", fence.project.in_words())
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(map) => map,
        _ => JsonObject::new(),
    }
}

#[cfg(test)]
mod tests {
    use pyro_engine::ProjectSource;

    use super::*;

    fn reaching(fence: Fence) -> Vec<&'static str> {
        let surface = Surface::new(Toolset::Profile(Profile::WorkspaceFull), Arc::new(fence));
        let out = |shown: &&Shown| {
            shown.tool.annotations.as_ref().and_then(|a| a.open_world_hint) == Some(true)
        };
        surface.shown().iter().filter(out).map(|shown| shown.operation.name).collect()
    }

    #[test]
    fn tools_reach_out_only_as_far_as_the_user_allows() {
        assert!(reaching(Fence::default()).is_empty());
        let repository =
            ProjectSource::Repository { url: "https://example.org/a".to_owned(), reference: None };
        let cloning = Fence { project: repository, ..Fence::default() };
        assert_eq!(reaching(cloning), ["vm_run", "workspace_create"]);
        let network = NetworkCeiling::Egress { allow_hosts: Vec::new() };
        let open = reaching(Fence { network, ..Fence::default() });
        assert_eq!(open, ["vm_run", "workspace_create", "workspace_exec", "workspace_exec_wait"]);
    }
}
