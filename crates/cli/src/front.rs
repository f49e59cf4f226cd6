//! Commands that are no operation: `pyro` alone, `ps`, `completions`, `man`, the reference pages.

use std::{io::stdout, path::PathBuf};

use clap::{ArgMatches, Command};
use clap_complete::Shell;
use pyro::{Client, Code, Failure, list};
use pyro_operations::{Request, host::Doctor, workspace::WorkspaceList};
use serde_json::{Value, json};

use crate::{
    exit,
    globals::Globals,
    grammar,
    idiom::spoken,
    perform::{self, Asked},
    reference, render, serve, terminal,
};

/// A command that is no operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    Ps,
    McpServe,
    Completions,
    Man,
    Reference,
}

impl Own {
    pub(crate) const ALL: &'static [Own] =
        &[Own::Ps, Own::McpServe, Own::Completions, Own::Man, Own::Reference];

    pub(crate) fn words(self) -> &'static [&'static str] {
        match self {
            Own::Ps => &["ps"],
            Own::McpServe => &["mcp", "serve"],
            Own::Completions => &["completions"],
            Own::Man => &["man"],
            Own::Reference => &["__reference"],
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Own::Ps => "Show what is running",
            Own::McpServe => "Serve one chat host over standard input and output",
            Own::Completions => "Print completions for a shell",
            Own::Man => "Print the manual page",
            Own::Reference => "Write the reference pages",
        }
    }

    pub(crate) fn run(self, matches: &ArgMatches, globals: &Globals) -> u8 {
        let done = match self {
            Own::Ps => ps(globals),
            Own::McpServe => serve::run(matches, globals),
            Own::Completions => {
                completions(matches);
                Ok(())
            }
            Own::Man => man(),
            Own::Reference => match matches.get_one::<PathBuf>("directory") {
                Some(directory) => reference::write(directory),
                None => Ok(()),
            },
        };
        match done {
            Ok(()) => exit::DONE,
            Err(failure) => perform::fail(&failure, &[], globals.json, false),
        }
    }
}

fn ps(globals: &Globals) -> Result<(), Failure> {
    let client = Client::open(globals.settings()?)?;
    let request = json!({"state": "running"});
    let reply = client.call_json(WorkspaceList::NAME, &request, &perform::context(&client)?)?;
    if globals.json {
        terminal::out(format!("{reply}\n").as_bytes());
    } else if let Some(operation) = list::find(WorkspaceList::NAME) {
        render::reply(&Asked::new(operation, Vec::new(), globals), &request, &reply, None);
    }
    Ok(())
}

/// Five lines: what works, what runs, what to do next.
pub(crate) fn overview(globals: &Globals) -> u8 {
    match standing(globals) {
        Ok(code) => code,
        Err(failure) => perform::fail(&failure, &[], globals.json, false),
    }
}

fn standing(globals: &Globals) -> Result<u8, Failure> {
    let client = Client::open(globals.settings()?)?;
    let context = perform::context(&client)?;
    let doctor = client.call_json(Doctor::NAME, &json!({"quick": true}), &context)?;
    let workspaces = client.call_json(WorkspaceList::NAME, &json!({}), &context)?;
    if globals.json {
        let both = json!({"verdict": doctor["verdict"], "doctor": doctor, "workspaces": workspaces["workspaces"]});
        terminal::out(format!("{both}\n").as_bytes());
        return Ok(exit::DONE);
    }
    let rows = workspaces["workspaces"].as_array().map_or(&[][..], Vec::as_slice);
    let running: Vec<&str> = rows
        .iter()
        .filter(|row| row["state"] == "running")
        .filter_map(|row| row["name"].as_str().or_else(|| row["workspace"].as_str()))
        .collect();
    let shown = running.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let runs = match running.len() {
        0 => format!("nothing runs; {} workspaces in all", rows.len()),
        n if n > 5 => format!("{n} workspaces run: {shown}, ..."),
        n => format!("{n} of {} workspaces run: {shown}", rows.len()),
    };
    let healthy = doctor["healthy"] == true;
    let next = match (healthy, running.first()) {
        (false, _) => "pyro doctor   says what to mend".to_owned(),
        (true, None) => "pyro workspace create --name NAME   copies the project here".to_owned(),
        (true, Some(name)) => {
            format!("pyro workspace exec {name} -- COMMAND   runs a command in it")
        }
    };
    let line = |value: &Value| value.as_str().unwrap_or_default().replace('\n', " ");
    terminal::say(&format!(
        "pyro {}, home {}\n{}\n{runs}\nnext: {next}\nhelp: pyro --help; for Claude Code, Codex and opencode: pyro host --help",
        env!("CARGO_PKG_VERSION"),
        line(&doctor["home"]),
        spoken(&line(&doctor["verdict"]), &[]),
    ));
    Ok(exit::DONE)
}

fn completions(matches: &ArgMatches) {
    if let Some(shell) = matches.get_one::<Shell>("shell") {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut grammar::tree(), "pyro", &mut script);
        terminal::out(&script);
    }
}

/// One page: the overview, then each command's help as it is.
fn man() -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Code::Internal, format!("write the manual page: {error}"))
    };
    clap_mangen::Man::new(grammar::tree()).render(&mut stdout()).map_err(failed)?;
    let mut page = String::from(".SH COMMANDS\n");
    each_command(&mut grammar::tree(), &mut |path, command| {
        let help = command.render_long_help().to_string();
        let help = help.replace('\\', "\\\\").replace("\n.", "\n\\&.").replace("\n'", "\n\\&'");
        page.push_str(&format!(".SS {path}\n.nf\n{help}\n.fi\n"));
    });
    terminal::out(page.as_bytes());
    Ok(())
}

/// Every visible command below `tree` that does something, with its words.
pub(crate) fn each_command(tree: &mut Command, visit: &mut dyn FnMut(&str, &mut Command)) {
    tree.build();
    for command in tree.get_subcommands_mut() {
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        if command.has_subcommands() {
            each_command(command, visit);
        } else {
            let path = command.get_bin_name().unwrap_or_default().to_owned();
            visit(&path, command);
        }
    }
}
