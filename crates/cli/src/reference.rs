//! The reference pages, made from what the doors themselves are made from. Checked in, and compared
//! by a test.

use std::{fmt::Write, path::Path, sync::Arc};

use pyro::{Code, Failure};
use pyro_mcp::{Surface, described, instructions, prompts};
use pyro_operations::{OPERATIONS, Profile, Reach, Toolset, schema};
use serde_json::Value;

use crate::{exit, front, grammar};

/// Every page with its file name.
#[must_use]
pub fn reference_pages() -> [(&'static str, String); 3] {
    [("cli.md", cli()), ("mcp.md", mcp()), ("failures.md", failures())]
}

/// Writes the pages.
pub(crate) fn write(directory: &Path) -> Result<(), Failure> {
    for (name, page) in reference_pages() {
        let path = directory.join(name);
        std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&path, page)).map_err(
            |error| {
                Failure::new(Code::InvalidArgument, format!("write {}: {error}", path.display()))
            },
        )?;
    }
    Ok(())
}

const MADE: &str = "<!-- Made by `pyro __reference docs/reference`; a test compares. -->\n\n";

fn cli() -> String {
    let mut page = format!("# The command line\n\n{MADE}");
    let mut tree = grammar::tree().term_width(100);
    let overview = tree.render_long_help();
    let _ = write!(page, "```\n{overview}```\n");
    front::each_command(&mut tree, &mut |path, command| {
        let mut command = command.clone().term_width(100);
        let _ = write!(page, "\n## {path}\n\n```\n{}```\n", command.render_long_help());
    });
    page.push_str("\n## Exit codes\n\n| code | when |\n|---|---|\n");
    for (number, when) in exit::table() {
        let _ = writeln!(page, "| {number} | {when} |");
    }
    page.push_str(
        "\n`run` and `workspace exec` exit with the command's own code, and with 128 and the \
         signal's number when a signal ended it.\n",
    );
    page.lines().fold(String::new(), |page, line| page + line.trim_end() + "\n")
}

fn mcp() -> String {
    let mut page = format!("# The MCP tools\n\n{MADE}");
    page.push_str(
        "A server shows a profile (`--profile`, `workspace-core` when absent) or a mode (`--mode`), \
         never both.\n\n| tool | command | profiles and modes |\n|---|---|---|\n",
    );
    for operation in OPERATIONS {
        let sets = match operation.reach {
            Reach::Person(why) => format!("none: {why}"),
            Reach::Everywhere => Toolset::all()
                .filter(|set| operation.is_in(*set))
                .map(|set| format!("`{}`", set.as_str()))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let command = operation.command.join(" ");
        let _ = writeln!(page, "| `{}` | `pyro {command}` | {sets} |", operation.name);
    }
    for set in Toolset::all() {
        tools(&mut page, set);
    }
    page.push_str("\n## Replies\n");
    for operation in OPERATIONS.iter().filter(|o| o.reach == Reach::Everywhere) {
        let _ = write!(page, "\n### {}\n", operation.name);
        block(&mut page, &schema::without_hints(&(operation.reply_schema)()));
    }
    page
}

/// One profile or mode: what the model is told, what the person can begin with, and the tools.
fn tools(page: &mut String, set: Toolset) {
    let surface = Surface::new(set, Arc::default());
    let _ = write!(page, "\n## `{}`\n\nInstructions:\n\n```\n", set.as_str());
    let _ = writeln!(page, "{}\n```", instructions(&surface));
    for (name, text) in prompts(&surface) {
        let _ = write!(page, "\nPrompt `{name}`:\n\n```\n{text}\n```\n");
    }
    let (wider, same) = match set {
        Toolset::Profile(_) => (None, String::new()),
        // Most of a mode's tools are those of the core profile: what differs is shown.
        Toolset::Mode(_) => {
            let full = Surface::new(Toolset::Profile(Profile::WorkspaceCore), Arc::default());
            let wide: Vec<Value> = full.tools().map(described).collect();
            let same = surface.tools().map(described).filter(|tool| wide.contains(tool));
            let names: Vec<String> =
                same.filter_map(|tool| Some(format!("`{}`", tool["name"].as_str()?))).collect();
            (Some(wide), names.join(", "))
        }
    };
    if !same.is_empty() {
        let _ = write!(page, "\nAs in `workspace-core`: {same}.\n");
    }
    for tool in surface.tools() {
        let mut tool = described(tool);
        if wider.as_ref().is_some_and(|wide| wide.contains(&tool)) {
            continue;
        }
        // Replies are the same everywhere, and stand once, whole, below.
        if let Value::Object(fields) = &mut tool {
            fields.remove("outputSchema");
        }
        block(page, &tool);
    }
}

fn block(page: &mut String, value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let _ = write!(page, "\n```json\n{text}\n```\n");
}

fn failures() -> String {
    let mut page = format!("# Failures\n\n{MADE}");
    page.push_str(
        "One shape on every door: `{code, message, hint, details, retryable}`. On the command line \
         the exit code stands for the code, except in `run` and `workspace exec`, which exit with \
         125 when pyro failed.\n\n| code | exit | retryable |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        let again = if code.is_retryable() { "yes" } else { "" };
        let _ = writeln!(page, "| `{code}` | {} | {again} |", code.exit());
    }
    page
}
