//! The processes that pyro starts of itself: work on trees that belong to the guest's ids, inside
//! a user namespace of the machines' map.
//!
//! Not a door: `main` hands over here before it reads a command line, and nobody else calls it.
//! The caller gives the work as JSON, the target as a path, and the archive as standard input; the
//! answer is one JSON value on standard output.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    path::Path,
    process::{ExitCode, Stdio},
};

use pyro_environment::{Done, Work, perform, unpack::UnpackError};
use pyro_machine_container::{ContainerMachine, Streams};

/// The word that `main` knows the helper by.
const TREE: &str = "__tree";
/// Bytes of an answer.
const ANSWER: u64 = 16 << 20;

/// Runs as a helper, if the arguments (without the program's name) say so.
#[must_use]
pub fn run(arguments: &[OsString]) -> Option<ExitCode> {
    let [word, work, target] = arguments else { return None };
    if word != TREE {
        return None;
    }
    let work: Work = match serde_json::from_str(&work.to_string_lossy()) {
        Ok(work) => work,
        Err(_) => return Some(ExitCode::FAILURE),
    };
    let archive = match &work {
        Work::Unpack { .. } => std::io::stdin().as_fd().try_clone_to_owned().ok().map(File::from),
        _ => None,
    };
    let answer = perform(&work, Path::new(target), archive);
    let written = serde_json::to_vec(&answer)
        .map_err(std::io::Error::other)
        .and_then(|bytes| std::io::stdout().lock().write_all(&bytes));
    Some(if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does work on a tree in a helper process inside the machines' map.
pub(crate) fn perform_in_map(
    machine: &ContainerMachine,
    work: &Work,
    target: &Path,
    archive: Option<File>,
) -> Result<Done, UnpackError> {
    let failed = |error: std::io::Error| {
        UnpackError::io("work in the id map on", target.as_os_str().as_encoded_bytes(), error)
    };
    let work = serde_json::to_string(work).map_err(|error| failed(error.into()))?;
    // By its path: in the map, `/proc/self/exe` is the program that makes the map.
    let program = std::env::current_exe().map_err(failed)?;
    let arguments = [OsStr::new(TREE), OsStr::new(&work), target.as_os_str()];
    let streams = Streams {
        stdin: archive.map_or_else(Stdio::null, Stdio::from),
        stdout: Stdio::piped(),
        stderr: Stdio::null(),
    };
    let mut child = machine
        .run_mapped(program.as_os_str(), &arguments, streams)
        .map_err(|error| failed(std::io::Error::other(error)))?;
    let mut answer = Vec::new();
    let read = match child.stdout.take() {
        Some(out) => out.take(ANSWER).read_to_end(&mut answer),
        None => Ok(0),
    };
    child.wait().map_err(failed)?;
    read.map_err(failed)?;
    let answer: Result<Done, UnpackError> = serde_json::from_slice(&answer)
        .map_err(|_| failed(std::io::Error::other("the helper process ended without an answer")))?;
    answer
}
