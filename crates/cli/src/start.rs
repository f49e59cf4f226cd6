//! From `argv` to an exit code. Speed counts here: a call builds the one command that it names.

use std::{ffi::OsString, process::ExitCode};

use clap::{ArgMatches, Command, error::ErrorKind};
use pyro::{Code, Failure};

use crate::{
    exit,
    fields::Field,
    front,
    globals::{self, Globals},
    grammar::{self, Leaf},
    perform, terminal,
};

/// What pyro starts itself for: entry points of the engine, none of them for people.
#[must_use]
pub fn helper(arguments: &[OsString]) -> Option<ExitCode> {
    pyro_engine::helper::run(arguments.get(1..)?)
}

/// The command line.
#[must_use]
pub fn run(arguments: &[OsString]) -> ExitCode {
    pyro_sys::signal::end_on_broken_pipe();
    ExitCode::from(dispatch(arguments))
}

fn dispatch(arguments: &[OsString]) -> u8 {
    let leaf = grammar::find(globals::words(arguments));
    let fields = leaf.map(|leaf| leaf.fields()).unwrap_or_default();
    let command = match &leaf {
        Some(leaf) => grammar::only(leaf, &fields),
        None => grammar::tree(),
    };
    match parse(command, arguments) {
        Ok(matches) => match leaf {
            Some(leaf) => perform_leaf(leaf, fields, &matches),
            None => front::overview(&Globals::from_matches(&matches)),
        },
        Err(error) => refuse(&error, leaf, arguments),
    }
}

fn parse(command: Command, arguments: &[OsString]) -> Result<ArgMatches, clap::Error> {
    command.try_get_matches_from(arguments)
}

fn perform_leaf(leaf: Leaf, fields: Vec<Field>, matches: &ArgMatches) -> u8 {
    let mut innermost = matches;
    while let Some((_, inner)) = innermost.subcommand() {
        innermost = inner;
    }
    let globals = Globals::from_matches(innermost);
    match leaf {
        Leaf::Operation(operation) => perform::operation(operation, fields, innermost, &globals),
        Leaf::Own(own) => own.run(innermost, &globals),
    }
}

/// Help is no failure; what clap cannot read is one, in the form that was asked for.
fn refuse(error: &clap::Error, leaf: Option<Leaf>, arguments: &[OsString]) -> u8 {
    let text = error.render().to_string();
    let asked_for_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked_for_help {
        terminal::say(&text);
        return exit::DONE;
    }
    let takes_a_command =
        matches!(&leaf, Some(Leaf::Operation(o)) if perform::exits_as_the_command(o));
    let lacks_dashes = takes_a_command && !arguments.iter().any(|argument| argument == "--");
    if Globals::wants_json(arguments) {
        let failure = usage_failure(&text, lacks_dashes);
        return perform::fail(&failure, &[], true, takes_a_command);
    }
    terminal::remark(text.trim_end());
    if lacks_dashes {
        terminal::remark(DASHES);
    }
    if takes_a_command { exit::PYRO_FAILED } else { exit::USAGE }
}

const DASHES: &str = " hint: put `--` before the command, as in `pyro run [ENV] -- CMD...`";

/// clap's words as a failure: its first paragraph, and the rest as the hint.
fn usage_failure(text: &str, lacks_dashes: bool) -> Failure {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let hint =
        if lacks_dashes { DASHES.trim_start_matches(" hint: ").to_owned() } else { one_line(rest) };
    Failure::new(Code::InvalidArgument, one_line(message)).hint(hint)
}
