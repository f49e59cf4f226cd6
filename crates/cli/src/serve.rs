//! `pyro mcp serve`: the user's ceiling from flags, then the server.

use std::{
    io::{IsTerminal, stdin},
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, builder::PossibleValuesParser, value_parser};
use pyro::{Code, Failure, MachineChoice};
use pyro_engine::Fence;
use pyro_mcp::Serving;
use pyro_operations::Profile;
use serde::Deserialize;

use crate::{globals::Globals, terminal};

const HEADING: &str = "The ceiling: a model can narrow it, never widen it";

/// The flags of the server.
pub(crate) fn arguments() -> Vec<Arg> {
    let text = |name: &'static str, value: &'static str, about: &'static str| {
        Arg::new(name).long(name).value_name(value).help(about).help_heading(HEADING)
    };
    let path = |name, value, about| text(name, value, about).value_parser(value_parser!(PathBuf));
    let profiles: Vec<&str> = Profile::ALL.iter().map(|profile| profile.as_str()).collect();
    vec![
        Arg::new("profile")
            .long("profile")
            .value_name("PROFILE")
            .value_parser(PossibleValuesParser::new(profiles))
            .help("Which tools the server shows; workspace-core when absent"),
        path("project-path", "DIR", "The project that workspaces begin with; the Git checkout around the current directory when absent")
            .conflicts_with_all(["repo-url", "no-project-source"]),
        text("repo-url", "URL", "The project as a repository: https:// or file://")
            .conflicts_with("no-project-source"),
        text("repo-ref", "REF", "The branch, tag or commit of --repo-url").requires("repo-url"),
        text("no-project-source", "", "No project: workspaces begin empty")
            .action(ArgAction::SetTrue),
        path("allow-path", "DIR", "Another host directory that may be copied from; repeatable")
            .action(ArgAction::Append),
        path("export-dir", "DIR", "Where exports land; .pyro/exports in the project when absent"),
        text("environment", "ENV", "The only environment"),
        text("machine", "MACHINE", "The only machine")
            .value_parser(["auto", "container", "microvm"]),
        text("max-workspaces", "N", "Workspaces at once").value_parser(value_parser!(u64)),
        text("max-cpus", "N", "Cores of a workspace").value_parser(value_parser!(u32)),
        text("max-memory-mib", "N", "Memory of a workspace").value_parser(value_parser!(u64)),
    ]
}

/// Serves until standard input ends.
pub(crate) fn run(matches: &ArgMatches, globals: &Globals) -> Result<(), Failure> {
    let cwd = std::env::current_dir().map_err(|error| {
        Failure::new(Code::InvalidArgument, format!("there is no current directory: {error}"))
    })?;
    let fence = fence(matches, &cwd)?;
    let profile = matches
        .get_one::<String>("profile")
        .and_then(|name| Profile::ALL.iter().find(|profile| profile.as_str() == name))
        .copied()
        .unwrap_or(Profile::WorkspaceCore);
    if stdin().is_terminal() {
        terminal::remark("an MCP client speaks to this on standard input; Ctrl-D ends it");
    }
    // The server hears of a reader that went away as an error of its write.
    pyro_sys::signal::ignore_broken_pipe();
    pyro_mcp::serve(Serving { settings: globals.settings()?, fence, profile, cwd })
}

fn fence(matches: &ArgMatches, cwd: &Path) -> Result<Fence, Failure> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let path = |name: &str| matches.get_one::<PathBuf>(name).map(|path| cwd.join(path));
    let repository = text("repo-url").map(|url| (url, text("repo-ref")));
    let project = match path("project-path") {
        Some(path) => Some(directory(&path)?),
        None if repository.is_some() || matches.get_flag("no-project-source") => None,
        None => checkout_around(cwd),
    };
    let allowed = matches.get_many::<PathBuf>("allow-path").into_iter().flatten();
    let machine = match text("machine") {
        Some(name) => Some(machine(&name)?),
        None => None,
    };
    Ok(Fence {
        project,
        repository,
        allow_paths: allowed.map(|path| directory(&cwd.join(path))).collect::<Result<_, _>>()?,
        export_dir: path("export-dir"),
        environment: text("environment"),
        machine,
        max_workspaces: matches.get_one("max-workspaces").copied(),
        max_cpus: matches.get_one("max-cpus").copied(),
        max_memory_mib: matches.get_one("max-memory-mib").copied(),
    })
}

fn machine(name: &str) -> Result<MachineChoice, Failure> {
    MachineChoice::deserialize(serde_json::Value::from(name))
        .map_err(|error| Failure::new(Code::InvalidArgument, format!("--machine: {error}")))
}

/// A mistyped path is better told to the person who starts the server than to a model later.
fn directory(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => Code::NotFound,
            _ => Code::InvalidArgument,
        };
        Failure::new(code, format!("{}: {error}", path.display())).detail("kind", "path")
    })
}

/// The Git checkout that a directory is in.
fn checkout_around(cwd: &Path) -> Option<PathBuf> {
    cwd.ancestors().find(|directory| directory.join(".git").exists()).map(Path::to_path_buf)
}
