//! The binary `pyro`: the command line and the MCP server, and the entry points that pyro starts
//! itself through.

use std::{ffi::OsString, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = pyro_cli::helper(&arguments) {
        return code;
    }
    pyro_cli::run(&arguments)
}
