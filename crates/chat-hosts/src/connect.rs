//! `host_connect`: pyro's server set up in a chat host, with what denies and allows tools.

use pyro_operations::{
    ServerFlags,
    chat_host::{ChatHost, HostConnect, HostConnected, SERVER_NAME, Scope},
};

use crate::{
    ChatHostError, Result, Surroundings,
    hosts::{self, Host},
    reach::{Target, reach},
    record::Book,
    server::{self, CommandLine, Told},
};

/// Connects.
///
/// # Errors
/// What cannot be read, changed or found; nothing is changed then.
pub fn connect(here: &Surroundings, request: &HostConnect) -> Result<HostConnected> {
    let host = written(request.chat_host)?;
    let scope = request.scope.unwrap_or(Scope::User);
    let name = request.name.as_deref().unwrap_or(SERVER_NAME);
    let line = line(here, scope, &request.server)?;
    let book = Book::open(&here.records)?;
    let target =
        Target { host, scope, name, line, only: request.only, allow: request.allow, afresh: false };
    let reached = reach(here, &book, &target)?;
    let mut notices = host.notices(here, scope, request.only);
    if scope == Scope::Project && here.program("pyro").is_none() {
        let why = "there is no pyro on the PATH, which the project's file starts: put it there";
        notices.push(why.to_owned());
    }
    let changed = if reached.changes.is_empty() { "was connected already" } else { "is connected" };
    let seen = match host.chat_host() {
        ChatHost::ClaudeCode => "a new session",
        _ => "its next start",
    };
    Ok(HostConnected {
        verdict: format!("{} {changed} as `{name}`; it sees pyro from {seen} on", host.chat_host()),
        chat_host: host.chat_host(),
        name: name.to_owned(),
        scope,
        file: reached.place.file.display().to_string(),
        command: target.line.words(),
        made_by: reached.made_by.unwrap_or_else(|| "pyro".to_owned()),
        changes: reached.changes,
        notices,
    })
}

/// The line of a new server.
pub(crate) fn line(here: &Surroundings, scope: Scope, flags: &ServerFlags) -> Result<CommandLine> {
    let flags = server::placed(flags, here, scope)?;
    let told = Told { flags, others: here.pins() };
    Ok(CommandLine { program: server::program(here, scope), arguments: told.arguments() })
}

/// A chat host whose files pyro writes.
pub(crate) fn written(chat_host: ChatHost) -> Result<&'static dyn Host> {
    hosts::of(chat_host).ok_or_else(|| ChatHostError::Unsuitable {
        step: "write a generic client's configuration",
        why: "pyro does not know where it is".to_owned(),
        hint: "host_print_config prints what to put there".to_owned(),
    })
}
