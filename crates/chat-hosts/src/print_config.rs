//! `host_print_config`: what connecting would write, as text to put there by hand.

use pyro_operations::chat_host::{
    ChatHost, ConfigPart, HostConfig, HostPrintConfig, SERVER_NAME, Scope,
};
use serde_json::{Value, json};

use crate::{
    Result, Surroundings,
    apply::make,
    connect::line,
    document::Format,
    hosts,
    wish::{Place, Reason, Want, Wish, Wishes},
};

/// What connecting would write; reads and writes nothing.
///
/// # Errors
/// A path that cannot be named.
pub fn print_config(here: &Surroundings, request: &HostPrintConfig) -> Result<HostConfig> {
    let scope = request.scope.unwrap_or(Scope::User);
    let name = request.name.as_deref().unwrap_or(SERVER_NAME);
    let line = line(here, scope, &request.server)?;
    let mut notices = Vec::new();
    let files = match hosts::of(request.chat_host) {
        None => {
            if request.only || request.allow {
                notices.push(
                    "what denies and allows tools differs from client to client: see its own pages"
                        .to_owned(),
                );
            }
            let entry = json!({"command": line.program, "args": line.arguments});
            let key = ["mcpServers", name];
            vec![Wishes {
                place: Place {
                    file: "mcp.json".into(),
                    format: Format::Json,
                    within: None,
                    template: "{}\n".to_owned(),
                },
                wishes: vec![Wish::new(Reason::Server, &key, Want::Is(entry))],
            }]
        }
        Some(host) => {
            notices.extend(host.notices(here, scope, request.only));
            let servers = host.servers(&Value::Null, None);
            let wish = Wish::new(Reason::Server, &[name], Want::Is(host.entry(&line)));
            let mut files =
                vec![Wishes { place: host.place(here, scope), wishes: vec![wish.below(&servers)] }];
            if request.allow {
                files.extend(host.allow(here, scope, name, &servers));
            }
            if request.only {
                files.push(host.only(&here.project()));
            }
            files
        }
    };
    let mut parts: Vec<(Wishes, String)> = Vec::new();
    for wishes in files {
        match parts.iter_mut().find(|(known, _)| known.place.file == wishes.place.file) {
            Some((known, content)) => {
                *content = make(&known.place, content, &wishes.wishes)?.text;
            }
            None => {
                let content = make(&wishes.place, &wishes.place.template, &wishes.wishes)?.text;
                parts.push((wishes, content));
            }
        }
    }
    let known = request.chat_host != ChatHost::Generic;
    Ok(HostConfig {
        verdict: match known {
            true => format!("what {} needs for `{name}`, beside what is there", request.chat_host),
            false => format!("what an MCP client needs for `{name}`, in the usual form"),
        },
        chat_host: request.chat_host,
        name: name.to_owned(),
        command: line.words(),
        parts: parts
            .into_iter()
            .map(|(wishes, content)| ConfigPart {
                file: known.then(|| wishes.place.file.display().to_string()),
                format: wishes.place.format.as_str().to_owned(),
                content,
            })
            .collect(),
        notices,
    })
}
