//! opencode: `opencode.json`, with or without comments, of the user and of a project. Version 2
//! keeps its servers one level deeper.

use std::path::Path;

use pyro_operations::chat_host::{ChatHost, Scope};
use serde_json::{Value, json};

use super::{Host, OwnAdd, strings, texts};
use crate::{
    Surroundings,
    document::Format,
    server::CommandLine,
    wish::{Place, Reason, Want, Wish, Wishes},
};

pub(super) struct Opencode;

const TEMPLATE: &str = "{\n  \"$schema\": \"https://opencode.ai/config.json\"\n}\n";

/// The file that is there, else the one that opencode itself would make.
fn place_in(folder: &Path, new: &str, within: Option<&Path>) -> Place {
    let names = ["opencode.jsonc", "opencode.json"];
    let found = names.iter().find(|name| folder.join(name).symlink_metadata().is_ok());
    Place {
        file: folder.join(found.copied().unwrap_or(new)),
        format: Format::Json,
        within: within.map(Path::to_path_buf),
        template: TEMPLATE.to_owned(),
    }
}

fn of_project(project: &Path) -> Place {
    place_in(project, "opencode.json", Some(project))
}

impl Host for Opencode {
    fn chat_host(&self) -> ChatHost {
        ChatHost::Opencode
    }

    fn program(&self) -> &'static str {
        "opencode"
    }

    fn place(&self, here: &Surroundings, scope: Scope) -> Place {
        match scope {
            Scope::User => {
                let folder = here.directory("XDG_CONFIG_HOME");
                let folder = folder.unwrap_or_else(|| here.user_home.join(".config"));
                place_in(&folder.join("opencode"), "opencode.jsonc", None)
            }
            Scope::Project => of_project(&here.project()),
        }
    }

    fn servers(&self, document: &Value, version: Option<&str>) -> Vec<String> {
        let deeper = &document["mcp"]["servers"];
        // Before version 2 that is a server which is called so.
        let is_server = deeper.get("type").is_some() || deeper.get("command").is_some();
        let major = version.and_then(|version| {
            let version = version.trim_start_matches(|c: char| !c.is_ascii_digit());
            version.split('.').next()?.parse::<u32>().ok()
        });
        let has_older = document["mcp"].as_object().is_some_and(|servers| !servers.is_empty());
        let second = match deeper {
            Value::Object(_) => !is_server,
            _ => major.is_some_and(|major| major >= 2) && !has_older,
        };
        if second { strings(&["mcp", "servers"], &[]) } else { strings(&["mcp"], &[]) }
    }

    fn entry(&self, line: &CommandLine) -> Value {
        json!({"type": "local", "command": line.words()})
    }

    fn line(&self, entry: &Value) -> Option<CommandLine> {
        let mut words = texts(entry.get("command")?)?.into_iter();
        Some(CommandLine { program: words.next()?, arguments: words.collect() })
    }

    fn mends(&self, entry: &Value, line: &CommandLine) -> Vec<Wish> {
        let is = |key: &str, value: Value| Wish::new(Reason::Server, &[key], Want::Is(value));
        let mut wishes = vec![is("type", json!("local")), is("command", json!(line.words()))];
        if entry.get("enabled").is_some_and(|enabled| enabled == false) {
            wishes.push(is("enabled", json!(true)));
        }
        if entry.get("disabled").is_some_and(|disabled| disabled == true) {
            wishes.push(is("disabled", json!(false)));
        }
        wishes
    }

    fn allow(&self, here: &Surroundings, scope: Scope, name: &str, _: &[String]) -> Vec<Wishes> {
        let tools = format!("{name}_*");
        let key = ["permission", tools.as_str()];
        let wish = Wish::new(Reason::Allow, &key, Want::Is(json!("allow"))).lifted();
        vec![Wishes { place: self.place(here, scope), wishes: vec![wish] }]
    }

    fn only(&self, project: &Path) -> Wishes {
        let deny = |tool: &str| {
            Wish::new(Reason::Only, &["permission", tool], Want::Is(json!("deny"))).lifted()
        };
        // `edit` stands for everything that writes files.
        Wishes { place: of_project(project), wishes: vec![deny("bash"), deny("edit")] }
    }

    fn notices(&self, _: &Surroundings, _: Scope, _: bool) -> Vec<String> {
        Vec::new()
    }

    fn own_add(&self, _: &str, _: &CommandLine) -> Option<OwnAdd> {
        // Its own command knows only the user's file, and its form is that of the file.
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_one_level_deeper_in_the_second_form() {
        let key = |document: Value, version| Opencode.servers(&document, version).join(".");
        assert_eq!(key(json!({}), Some("1.18.33")), "mcp");
        assert_eq!(key(json!({}), Some("v2.0.1")), "mcp.servers");
        assert_eq!(key(json!({"mcp": {"x": {}}}), Some("2.0.1")), "mcp");
        assert_eq!(key(json!({"mcp": {"servers": {"x": {}}}}), None), "mcp.servers");
        assert_eq!(key(json!({"mcp": {"servers": {"type": "local"}}}), None), "mcp");
    }
}
