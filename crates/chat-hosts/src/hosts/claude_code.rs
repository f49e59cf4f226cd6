//! Claude Code: `~/.claude.json` and `.mcp.json` name servers, `settings.json` and a project's
//! `settings.local.json` say what is denied and allowed.

use std::path::{Path, PathBuf};

use pyro_operations::chat_host::{ChatHost, Scope};
use serde_json::{Value, json};

use super::{Host, OwnAdd, line_of, mends_of_line, strings};
use crate::{
    Surroundings,
    document::Format,
    server::CommandLine,
    wish::{Place, Reason, Want, Wish, Wishes},
};

pub(super) struct ClaudeCode;

/// Its tools that run commands or write files. `Monitor` goes with `Bash`.
const OWN_TOOLS: &[&str] = &["Bash", "Edit", "Write", "NotebookEdit"];
const EMPTY: &str = "{}\n";

fn settings(here: &Surroundings) -> PathBuf {
    let folder = here.directory("CLAUDE_CONFIG_DIR");
    folder.unwrap_or_else(|| here.user_home.join(".claude")).join("settings.json")
}

fn of_project(project: &Path, file: &str) -> Place {
    Place {
        file: project.join(file),
        format: Format::Json,
        within: Some(project.to_path_buf()),
        template: EMPTY.to_owned(),
    }
}

fn of_user(file: PathBuf) -> Place {
    Place { file, format: Format::Json, within: None, template: EMPTY.to_owned() }
}

impl Host for ClaudeCode {
    fn chat_host(&self) -> ChatHost {
        ChatHost::ClaudeCode
    }

    fn program(&self) -> &'static str {
        "claude"
    }

    fn place(&self, here: &Surroundings, scope: Scope) -> Place {
        match scope {
            Scope::User => {
                let folder = here.directory("CLAUDE_CONFIG_DIR");
                of_user(folder.unwrap_or_else(|| here.user_home.clone()).join(".claude.json"))
            }
            Scope::Project => of_project(&here.project(), ".mcp.json"),
        }
    }

    fn servers(&self, _: &Value, _: Option<&str>) -> Vec<String> {
        strings(&["mcpServers"], &[])
    }

    fn entry(&self, line: &CommandLine) -> Value {
        json!({"type": "stdio", "command": line.program, "args": line.arguments, "env": {}})
    }

    fn line(&self, entry: &Value) -> Option<CommandLine> {
        line_of(entry)
    }

    fn mends(&self, entry: &Value, line: &CommandLine) -> Vec<Wish> {
        let is_other = entry.get("type").is_some_and(|kind| kind != "stdio");
        let own = is_other.then(|| Wish::new(Reason::Server, &["type"], Want::Is(json!("stdio"))));
        mends_of_line(entry, line, own)
    }

    fn allow(&self, here: &Surroundings, scope: Scope, name: &str, _: &[String]) -> Vec<Wishes> {
        let holds = |key: &[&str], item: String| Wish::new(Reason::Allow, key, Want::Holds(item));
        let tools = holds(&["permissions", "allow"], format!("mcp__{name}"));
        match scope {
            Scope::User => {
                vec![Wishes { place: of_user(settings(here)), wishes: vec![tools] }]
            }
            Scope::Project => {
                let place = of_project(&here.project(), ".claude/settings.local.json");
                // Only here: in the user's settings it would approve every project's `pyro`, also
                // one that is none.
                let server = holds(&["enabledMcpjsonServers"], name.to_owned());
                vec![Wishes { place, wishes: vec![tools, server] }]
            }
        }
    }

    fn only(&self, project: &Path) -> Wishes {
        let deny = |tool: &&str| {
            Wish::new(Reason::Only, &["permissions", "deny"], Want::Holds((*tool).to_owned()))
        };
        Wishes {
            place: of_project(project, ".claude/settings.local.json"),
            wishes: OWN_TOOLS.iter().map(deny).collect(),
        }
    }

    fn notices(&self, _: &Surroundings, scope: Scope, _: bool) -> Vec<String> {
        match scope {
            Scope::User => Vec::new(),
            Scope::Project => vec![
                "Claude Code asks each person once whether they trust the project and whether the servers of .mcp.json may run; --allow answers the second"
                    .to_owned(),
            ],
        }
    }

    fn own_add(&self, name: &str, line: &CommandLine) -> Option<OwnAdd> {
        let words = ["mcp", "add", "--scope", "user", name, "--"];
        Some(OwnAdd {
            arguments: strings(&words, &line.words()),
            variable: "CLAUDE_CONFIG_DIR",
            file: ".claude.json",
        })
    }
}
