//! Codex: `config.toml` of the user, and of a project that the user trusts.

use std::path::Path;

use pyro_operations::chat_host::{ChatHost, Scope};
use serde_json::{Value, json};

use super::{Host, OwnAdd, line_of, mends_of_line, strings};
use crate::{
    Surroundings, document,
    document::Format,
    file,
    server::CommandLine,
    wish::{Place, Reason, Want, Wish, Wishes},
};

pub(super) struct Codex;

fn of_user(here: &Surroundings) -> Place {
    let folder = here.directory("CODEX_HOME").unwrap_or_else(|| here.user_home.join(".codex"));
    Place {
        file: folder.join("config.toml"),
        format: Format::Toml,
        within: None,
        template: String::new(),
    }
}

fn of_project(project: &Path) -> Place {
    Place {
        file: project.join(".codex/config.toml"),
        format: Format::Toml,
        within: Some(project.to_path_buf()),
        template: String::new(),
    }
}

fn is_trusted(here: &Surroundings) -> bool {
    let project = here.project().display().to_string();
    let key = strings(&["projects", &project, "trust_level"], &[]);
    let text = file::read(&of_user(here)).ok().flatten().unwrap_or_default();
    let document = Format::Toml.read(&text).unwrap_or_default();
    document::at(&document, &key).is_some_and(|level| level == "trusted")
}

impl Host for Codex {
    fn chat_host(&self) -> ChatHost {
        ChatHost::Codex
    }

    fn program(&self) -> &'static str {
        "codex"
    }

    fn place(&self, here: &Surroundings, scope: Scope) -> Place {
        match scope {
            Scope::User => of_user(here),
            Scope::Project => of_project(&here.project()),
        }
    }

    fn servers(&self, _: &Value, _: Option<&str>) -> Vec<String> {
        strings(&["mcp_servers"], &[])
    }

    fn entry(&self, line: &CommandLine) -> Value {
        json!({"command": line.program, "args": line.arguments})
    }

    fn line(&self, entry: &Value) -> Option<CommandLine> {
        line_of(entry)
    }

    fn mends(&self, entry: &Value, line: &CommandLine) -> Vec<Wish> {
        let is_off = entry.get("enabled").is_some_and(|enabled| enabled == false);
        let own = is_off.then(|| Wish::new(Reason::Server, &["enabled"], Want::Is(json!(true))));
        mends_of_line(entry, line, own)
    }

    fn allow(
        &self,
        here: &Surroundings,
        scope: Scope,
        name: &str,
        servers: &[String],
    ) -> Vec<Wishes> {
        let key: Vec<&str> = servers.iter().map(String::as_str).collect();
        let key = [&key[..], &[name, "default_tools_approval_mode"]].concat();
        let wish = Wish::new(Reason::Allow, &key, Want::Is(json!("approve")));
        vec![Wishes { place: self.place(here, scope), wishes: vec![wish] }]
    }

    fn only(&self, project: &Path) -> Wishes {
        let is = |key: &[&str], value: Value| Wish::new(Reason::Only, key, Want::Is(value));
        Wishes {
            place: of_project(project),
            wishes: vec![
                is(&["sandbox_mode"], json!("read-only")),
                is(&["features", "shell_tool"], json!(false)),
            ],
        }
    }

    fn notices(&self, here: &Surroundings, scope: Scope, only: bool) -> Vec<String> {
        if (scope == Scope::User && !only) || is_trusted(here) {
            return Vec::new();
        }
        vec![format!(
            "Codex reads .codex/config.toml only in projects that it was told to trust: start codex once in {} and say yes",
            here.project().display()
        )]
    }

    fn own_add(&self, name: &str, line: &CommandLine) -> Option<OwnAdd> {
        Some(OwnAdd {
            arguments: strings(&["mcp", "add", name, "--"], &line.words()),
            variable: "CODEX_HOME",
            file: "config.toml",
        })
    }
}
