//! What differs between chat hosts: where their files are, how an entry looks, what denies and
//! allows tools. One file each; the rest of the crate knows only this trait.

mod claude_code;
mod codex;
mod opencode;

use std::path::Path;

use pyro_operations::chat_host::{ChatHost, Scope};
use serde_json::{Value, json};

use crate::{
    Surroundings,
    server::CommandLine,
    wish::{Place, Reason, Want, Wish, Wishes},
};

/// What pyro knows of a chat host.
pub(crate) trait Host: Sync {
    fn chat_host(&self) -> ChatHost;

    /// Its program's name.
    fn program(&self) -> &'static str;

    /// The file that names its servers.
    fn place(&self, here: &Surroundings, scope: Scope) -> Place;

    /// The key of its servers in that file. `version` is what the program says, where it matters.
    fn servers(&self, document: &Value, version: Option<&str>) -> Vec<String>;

    /// The entry of a server that is not there yet.
    fn entry(&self, line: &CommandLine) -> Value;

    /// What an entry starts; None when it starts nothing.
    fn line(&self, entry: &Value) -> Option<CommandLine>;

    /// What makes an entry that is there start this; keys are relative to the entry. Whatever else
    /// the entry holds is the user's.
    fn mends(&self, entry: &Value, line: &CommandLine) -> Vec<Wish>;

    /// What lets a server's tools be called without asking. `servers` is the key of its servers.
    fn allow(
        &self,
        here: &Surroundings,
        scope: Scope,
        name: &str,
        servers: &[String],
    ) -> Vec<Wishes>;

    /// What denies the chat host its own shell and file-writing tools in a project.
    fn only(&self, project: &Path) -> Wishes;

    /// What the person should know beside what was changed.
    fn notices(&self, here: &Surroundings, scope: Scope, only: bool) -> Vec<String>;

    /// Its own command that adds a server; None where pyro writes the file by itself.
    fn own_add(&self, name: &str, line: &CommandLine) -> Option<OwnAdd>;
}

/// A chat host's own command that adds a server.
pub(crate) struct OwnAdd {
    /// After the program.
    pub(crate) arguments: Vec<String>,
    /// The variable that says where its files are.
    pub(crate) variable: &'static str,
    /// The file that it writes there.
    pub(crate) file: &'static str,
}

/// What pyro knows of this one; None for those whose files it does not write.
pub(crate) fn of(chat_host: ChatHost) -> Option<&'static dyn Host> {
    match chat_host {
        ChatHost::ClaudeCode => Some(&claude_code::ClaudeCode),
        ChatHost::Codex => Some(&codex::Codex),
        ChatHost::Opencode => Some(&opencode::Opencode),
        ChatHost::Generic => None,
    }
}

/// The line of an entry that has a program and its arguments apart.
fn line_of(entry: &Value) -> Option<CommandLine> {
    let program = entry.get("command")?.as_str()?.to_owned();
    let arguments = match entry.get("args") {
        None => Vec::new(),
        Some(arguments) => texts(arguments)?,
    };
    Some(CommandLine { program, arguments })
}

/// What makes such an entry start this; `own` is what the chat host's kind of entry wants besides.
fn mends_of_line(entry: &Value, line: &CommandLine, own: Option<Wish>) -> Vec<Wish> {
    let is = |key: &str, value: Value| Wish::new(Reason::Server, &[key], Want::Is(value));
    let mut wishes = vec![is("command", json!(line.program)), is("args", json!(line.arguments))];
    wishes.extend(own);
    if entry.get("url").is_some() {
        wishes.push(Wish::new(Reason::Server, &["url"], Want::Absent));
    }
    wishes
}

fn texts(list: &Value) -> Option<Vec<String>> {
    list.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn strings(words: &[&str], more: &[String]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).chain(more.iter().cloned()).collect()
}
