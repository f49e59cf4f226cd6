//! The reference pages, made from what the doors themselves are made from. Checked in, and compared
//! by a test.

use std::{fmt::Write, path::Path, sync::Arc};

use pyro::{Code, Failure};
use pyro_mcp::{Surface, described, instructions};
use pyro_operations::{OPERATIONS, Profile, Reach, Toolset};
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
    page.push_str("## Profiles\n\n| tool | command | profiles |\n|---|---|---|\n");
    for operation in OPERATIONS {
        let profiles = match operation.reach {
            Reach::Person(why) => format!("none: {why}"),
            Reach::Everywhere => Profile::ALL
                .iter()
                .filter(|profile| operation.is_in(Toolset::Profile(**profile)))
                .map(|profile| format!("`{}`", profile.as_str()))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let command = operation.command.join(" ");
        let _ = writeln!(page, "| `{}` | `pyro {command}` | {profiles} |", operation.name);
    }
    for profile in Profile::ALL {
        let surface = Surface::new(Toolset::Profile(*profile), Arc::default());
        let _ = write!(page, "\n## `{}`\n\nInstructions:\n\n```\n", profile.as_str());
        let _ = writeln!(page, "{}\n```", instructions(&surface));
        for tool in surface.tools() {
            let mut tool = described(tool);
            // Replies are the same in every profile, and stand once, below.
            if let Value::Object(fields) = &mut tool {
                fields.remove("outputSchema");
            }
            block(&mut page, &tool);
        }
    }
    page.push_str("\n## Replies\n");
    for tool in Surface::new(Toolset::Profile(Profile::WorkspaceFull), Arc::default()).tools() {
        let tool = described(tool);
        let _ = write!(page, "\n### {}\n", tool["name"].as_str().unwrap_or_default());
        block(&mut page, &tool["outputSchema"]);
    }
    page
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
