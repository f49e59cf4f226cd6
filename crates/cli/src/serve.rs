//! `pyro mcp serve`: the user's ceiling from flags, then the server.

use std::{
    io::{IsTerminal, stdin},
    path::PathBuf,
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

/// The fields that the flags are made from.
pub(crate) fn fields() -> Vec<Field> {
    fields::of(&schema::of::<ServerFlags>())
}

/// The flags of the server.
pub(crate) fn arguments() -> Vec<Arg> {
    let fields = fields();
    let arguments = fields.iter().flat_map(|field| field_arguments(field, &fields, &[]));
    arguments.map(|argument| argument.help_heading(ServerFlags::HEADING)).collect()
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
    // A directory that is gone is no reason not to start: the model is told that it is.
    let cwd = std::env::current_dir().ok();
    let flags = flags(matches)?;
    let settings = globals.settings()?;
    let fence = Fence::from_flags(&flags, cwd.as_deref(), &settings)?;
    let cwd = cwd.unwrap_or_else(|| PathBuf::from("/"));
    let serving = Serving { settings, fence, tools: flags.toolset(), cwd };
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
