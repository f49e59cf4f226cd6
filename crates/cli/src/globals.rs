//! Flags that every command has.

use std::{ffi::OsString, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use pyro::{Failure, Settings};

/// Flags that take a value of their own, so that it is not taken for a subcommand.
const WITH_VALUE: &[&str] = &["--home", "--config"];

/// What the global flags say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globals {
    home: Option<PathBuf>,
    config: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) verbose: bool,
}

/// Their arguments.
pub(crate) fn arguments() -> [Arg; 4] {
    let path = |name: &'static str, value: &'static str, about: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .value_parser(value_parser!(PathBuf))
            .help(about)
            .global(true)
            .help_heading("Everywhere")
    };
    let switch = |name: &'static str, about: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(about)
            .global(true)
            .help_heading("Everywhere")
    };
    [
        path("home", "DIR", "Where pyro keeps its files (PYRO_HOME, else ~/.local/share/pyro)"),
        path("config", "FILE", "The configuration (PYRO_CONFIG, else ~/.config/pyro/config.toml)"),
        switch("json", "Print exactly the reply, or {\"error\": FAILURE}, as one JSON object"),
        switch("verbose", "Say more on standard error").short('v'),
    ]
}

impl Globals {
    pub(crate) fn from_matches(matches: &ArgMatches) -> Self {
        let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
        Self {
            home: path("home"),
            config: path("config"),
            json: matches.get_flag("json"),
            verbose: matches.get_flag("verbose"),
        }
    }

    /// For arguments that could not be read: whether the answer is to be JSON all the same.
    pub(crate) fn wants_json(arguments: &[OsString]) -> bool {
        arguments.iter().take_while(|argument| *argument != "--").any(|a| a == "--json")
    }

    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        Settings::find(self.home.as_deref(), self.config.as_deref())
    }
}

/// The arguments that are neither flags nor the values of global ones, before `--`.
pub(crate) fn words(arguments: &[OsString]) -> impl Iterator<Item = &str> {
    let mut value_follows = false;
    arguments.iter().skip(1).take_while(|argument| *argument != "--").filter_map(move |argument| {
        let word = argument.to_str()?;
        if std::mem::take(&mut value_follows) {
            return None;
        }
        value_follows = WITH_VALUE.contains(&word);
        (!word.starts_with('-')).then_some(word)
    })
}
