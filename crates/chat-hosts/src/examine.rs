//! How one server stands in one chat host, and what it should be. Doctor tells it, repair makes it
//! so.

use std::path::{Path, PathBuf};

use pyro_operations::{
    ServerFlags,
    chat_host::{ConnectionState, Difference, Scope, ServerAnswer},
};
use serde_json::Value;

use crate::{
    Result, Surroundings,
    differ::{hold, unmet},
    document,
    hosts::Host,
    probe,
    program::is_executable,
    reach::as_spelled,
    record::Record,
    server::{self, CommandLine, Told},
    wish::Wishes,
};

/// How one server stands.
pub(crate) struct Examined {
    pub(crate) state: ConnectionState,
    pub(crate) problem: Option<String>,
    /// What the chat host starts now.
    pub(crate) found: Option<CommandLine>,
    /// What it should start.
    pub(crate) wanted: CommandLine,
    pub(crate) only: bool,
    pub(crate) allow: bool,
    pub(crate) differences: Vec<Difference>,
    pub(crate) answer: Option<ServerAnswer>,
    /// `host_repair` mends it.
    pub(crate) repairable: bool,
    pub(crate) notice: Option<String>,
}

/// Which server is looked at.
pub(crate) struct Which<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) scope: Scope,
    pub(crate) name: &'a str,
    pub(crate) record: Option<&'a Record>,
    /// Flags that it should have beside its own.
    pub(crate) given: &'a ServerFlags,
}

/// The names of pyro's servers in a file.
pub(crate) fn names(host: &dyn Host, document: &Value) -> Vec<String> {
    let servers = document::at(document, &host.servers(document, None));
    let entries = servers.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter(|(_, entry)| host.line(entry).is_some_and(|line| line.is_pyro()))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Looks at one server. Its file was read, or failed to be.
pub(crate) fn examine(
    here: &Surroundings,
    which: &Which<'_>,
    document: &Result<Value>,
) -> Result<Examined> {
    let (host, scope) = (which.host, which.scope);
    let place = host.place(here, scope);
    let document = match document {
        Ok(document) => document,
        Err(error) => {
            return Ok(Examined {
                state: ConnectionState::Drifted,
                problem: Some(format!("failed to {}", with_causes(error))),
                repairable: error.is_text(),
                ..nothing(wanted(here, which, None)?, which)
            });
        }
    };
    let servers = host.servers(document, None);
    let key = [servers.clone(), vec![which.name.to_owned()]].concat();
    let entry = document::at(document, &key);
    let found = entry.and_then(|entry| host.line(entry));
    let wanted = wanted(here, which, found.as_ref())?;
    let Some(entry) = entry else {
        return Ok(Examined {
            problem: which.record.map(|_| "the server that was set up is gone".to_owned()),
            ..nothing(wanted, which)
        });
    };
    // One that starts nothing is pyro's only where pyro was set up.
    let ours = found.as_ref().map_or(which.record.is_some(), CommandLine::is_pyro);
    if !ours {
        return Ok(Examined {
            problem: Some(format!("another server is called `{}` there", which.name)),
            repairable: false,
            found,
            ..nothing(wanted, which)
        });
    }
    let mends = host.mends(entry, &as_spelled(found.as_ref(), &wanted));
    let mends = mends.into_iter().map(|wish| wish.below(&key)).collect();
    let mut files = vec![Wishes { place, wishes: mends }];
    let allow = host.allow(here, scope, which.name, &servers);
    let only = host.only(&here.project());
    let (allowed, denied) = match which.record {
        Some(record) => {
            let projects = record.only.iter().filter(|project| project.is_dir());
            files.extend(projects.map(|project| host.only(project)));
            (record.allow, record.only.contains(&here.project()))
        }
        // Without a record, what stands there is what was meant.
        None => (allow.iter().all(hold), hold(&only)),
    };
    if allowed {
        files.extend(allow);
    }
    let mut differences = Vec::new();
    for wishes in &files {
        differences.extend(unmet(wishes)?);
    }
    let examined = Examined {
        state: ConnectionState::Drifted,
        only: denied,
        allow: allowed,
        repairable: !differences.is_empty(),
        differences,
        found: found.clone(),
        ..nothing(wanted, which)
    };
    let Some(line) = found.filter(|_| examined.differences.is_empty()) else {
        return Ok(examined);
    };
    Ok(asked(here, which, examined, &line))
}

fn nothing(wanted: CommandLine, which: &Which<'_>) -> Examined {
    Examined {
        state: ConnectionState::Missing,
        problem: None,
        found: None,
        wanted,
        only: which.record.is_some_and(|record| !record.only.is_empty()),
        allow: which.record.is_some_and(|record| record.allow),
        differences: Vec::new(),
        answer: None,
        repairable: which.record.is_some(),
        notice: None,
    }
}

/// An error with all that caused it.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// What the server should be: what it is told now, what it was told when it was connected, and
/// what is asked for, none of it lost.
fn wanted(
    here: &Surroundings,
    which: &Which<'_>,
    found: Option<&CommandLine>,
) -> Result<CommandLine> {
    let recorded = which.record.and_then(|record| {
        let (program, arguments) = (record.program.clone(), record.arguments.clone());
        CommandLine { program, arguments }.told()
    });
    let told = match (recorded, found.and_then(CommandLine::told)) {
        (Some(recorded), Some(found)) => recorded.under(&found),
        (Some(told), None) | (None, Some(told)) => told,
        (None, None) => Told { flags: ServerFlags::default(), others: here.pins() },
    };
    let flags = server::placed(which.given, here, which.scope)?;
    let told = told.under(&Told { flags, others: Vec::new() });
    let usable = found.map(|found| found.program.clone()).filter(|program| match which.scope {
        Scope::User => {
            let path = Path::new(program);
            path.is_absolute() && is_executable(path)
        }
        Scope::Project => program == "pyro",
    });
    Ok(CommandLine {
        program: usable.unwrap_or_else(|| server::program(here, which.scope)),
        arguments: told.arguments(),
    })
}

/// Starts it and hears what it says.
fn asked(
    here: &Surroundings,
    which: &Which<'_>,
    examined: Examined,
    line: &CommandLine,
) -> Examined {
    let program = match which.scope {
        Scope::User => Some(PathBuf::from(&line.program)),
        Scope::Project => here.program("pyro"),
    };
    let Some(program) = program else {
        let problem = Some("there is no pyro on the PATH".to_owned());
        return Examined { problem, repairable: false, ..examined };
    };
    let others = line.told().map(|told| told.others).unwrap_or_default();
    let pins = here.pins();
    if which.scope == Scope::Project && others.iter().any(|other| !pins.contains(other)) {
        // A project may name any home and any configuration: that is for its person to try.
        let notice = format!(
            "`{}` of {} was not started: the project gives it {}",
            which.name,
            which.host.chat_host(),
            others.join(" ")
        );
        let state = ConnectionState::Connected;
        return Examined { state, notice: Some(notice), repairable: false, ..examined };
    }
    let other = program.canonicalize().is_ok_and(|program| program != here.binary);
    let notice = other.then(|| {
        format!(
            "`{}` of {} starts another pyro than this one: {}",
            which.name,
            which.host.chat_host(),
            program.display()
        )
    });
    match probe::answer(here, which.host.chat_host(), &program, line) {
        Ok(answer) => Examined {
            state: ConnectionState::Connected,
            answer: Some(answer),
            repairable: false,
            notice,
            ..examined
        },
        Err(why) => Examined {
            problem: Some(format!("the server was started, and {why}")),
            repairable: false,
            notice,
            ..examined
        },
    }
}
