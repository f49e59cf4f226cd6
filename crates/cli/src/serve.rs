//! `pyro mcp serve`: the user's ceiling from flags, then the server.

use std::{
    io::{IsTerminal, stdin},
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches};
use pyro::{Code, Failure};
use pyro_engine::Fence;
use pyro_mcp::Serving;
use pyro_operations::{ServerFlags, schema};

use crate::{
    arguments,
    fields::{self, Field},
    globals::Globals,
    grammar::field_arguments,
    terminal,
};

const HEADING: &str = "The server: a model can narrow what these say, never widen it";

/// The fields that the flags are made from.
pub(crate) fn fields() -> Vec<Field> {
    fields::of(&schema::of::<ServerFlags>())
}

/// The flags of the server.
pub(crate) fn arguments() -> Vec<Arg> {
    let fields = fields();
    let arguments = fields.iter().flat_map(|field| field_arguments(field, &fields, &[]));
    arguments.map(|argument| argument.help_heading(HEADING)).collect()
}

/// What was typed.
pub(crate) fn flags(matches: &ArgMatches) -> Result<ServerFlags, Failure> {
    let typed = arguments::requests(&fields(), &[], matches)?.into_iter().next();
    let flags: ServerFlags = serde_json::from_value(typed.unwrap_or_default())
        .map_err(|error| Failure::new(Code::InvalidArgument, format!("mcp serve: {error}")))?;
    flags.check()?;
    Ok(flags)
}

/// Serves until standard input ends.
pub(crate) fn run(matches: &ArgMatches, globals: &Globals) -> Result<(), Failure> {
    let cwd = std::env::current_dir().map_err(|error| {
        Failure::new(Code::InvalidArgument, format!("there is no current directory: {error}"))
    })?;
    let flags = flags(matches)?;
    let fence = fence(&flags, &cwd)?;
    let serving = Serving { settings: globals.settings()?, fence, tools: flags.toolset(), cwd };
    // The server hears of a reader that went away as an error of its write.
    pyro_sys::signal::ignore_broken_pipe();
    if let Some(address) = &flags.http {
        let address = pyro_mcp::address(address)?;
        return pyro_mcp::serve_http(serving, address, |url, token| {
            terminal::remark(&format!(
                "MCP is served at {url} until Ctrl-C; clients send the bearer token in {}",
                token.display()
            ));
        });
    }
    if stdin().is_terminal() {
        terminal::remark("an MCP client speaks to this on standard input; Ctrl-D ends it");
    }
    pyro_mcp::serve(serving)
}

fn fence(flags: &ServerFlags, cwd: &Path) -> Result<Fence, Failure> {
    let path = |path: &Option<String>| path.as_ref().map(|path| cwd.join(path));
    let repository = flags.repo_url.clone().map(|url| (url, flags.repo_ref.clone()));
    let project = match path(&flags.project_path) {
        Some(path) => Some(directory(&path)?),
        None if repository.is_some() || flags.no_project_source => None,
        None => checkout_around(cwd),
    };
    let allowed = flags.allow_paths.iter().map(|path| directory(&cwd.join(path)));
    Ok(Fence {
        project,
        repository,
        allow_paths: allowed.collect::<Result<_, _>>()?,
        export_dir: path(&flags.export_dir),
        environment: flags.environment.clone(),
        machine: flags.machine,
        max_workspaces: flags.max_workspaces,
        max_cpus: flags.max_cpus,
        max_memory_mib: flags.max_memory_mib,
    })
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
