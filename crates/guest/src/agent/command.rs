//! A command made ready before the fork: checked, and in the shape that `execve` takes.

use std::{ffi::CString, os::fd::OwnedFd, path::Path};

use pyro_model::limits::{COMMAND_BYTES, PATH_BYTES, STDIN_BYTES};
use pyro_protocol::{
    exec::{ExecStart, Program},
    message::RefusalKind,
};
use pyro_sys::child::StringTable;
use rustix::{
    fs::{CWD, FileType, MemfdFlags, Mode, OFlags, SeekFrom, memfd_create, openat, seek, stat},
    io::{Errno, write},
};

use super::refusal::{Answer, from_errno, refuse};

/// Variables and words that one command may have, whatever the engine's own bound is.
const STRINGS: usize = 16_384;
/// Where shells are looked for besides `PATH`, and programs where there is no `PATH`.
const SYSTEM_PATH: [&str; 2] = ["/bin", "/usr/bin"];

/// What a child needs to become the command.
#[derive(Debug)]
pub(super) struct Command {
    /// How messages name it.
    pub(super) name: String,
    /// Each program to try, in order, and the arguments it is given.
    pub(super) tries: Vec<(CString, usize)>,
    /// The argument lists that `tries` refer to.
    pub(super) arguments: Vec<StringTable>,
    pub(super) environment: StringTable,
    pub(super) cwd: CString,
    pub(super) stdin: Option<OwnedFd>,
}

impl Command {
    /// Checks what was asked for; nothing has happened when it is refused.
    pub(super) fn prepare(start: &ExecStart, workspace_path: &Path) -> Answer<Self> {
        if start.line.len() > COMMAND_BYTES || start.environment.len() > STRINGS {
            return Err(too_large("the command"));
        }
        if start.kept_bytes < 2 {
            return Err(invalid("kept_bytes", "at least 2 are needed"));
        }
        let cwd = directory(&start.cwd, workspace_path)?;
        let (name, arguments, tries) = program(start)?;
        Ok(Self {
            name,
            tries,
            arguments,
            environment: environment(start)?,
            cwd,
            stdin: start.stdin.as_deref().map(stdin).transpose()?,
        })
    }
}

fn directory(cwd: &str, workspace_path: &Path) -> Answer<CString> {
    if !cwd.starts_with('/') || cwd.len() > PATH_BYTES {
        return Err(invalid("cwd", "it must be an absolute path of at most 4096 bytes"));
    }
    // An agent without a mount namespace has its workspace somewhere else.
    let real = match Path::new(cwd).strip_prefix("/workspace") {
        Ok(below) => workspace_path.join(below),
        Err(_) => cwd.into(),
    };
    let status = stat(&real).map_err(|errno| from_errno("enter", cwd, errno))?;
    if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
        return Err(from_errno("enter", cwd, Errno::NOTDIR));
    }
    string(real.into_os_string().into_encoded_bytes(), "cwd")
}

type Programs = (String, Vec<StringTable>, Vec<(CString, usize)>);

fn program(start: &ExecStart) -> Answer<Programs> {
    let path = start.environment.iter().rev().find(|(name, _)| name == "PATH");
    let listed = || path.iter().flat_map(|(_, value)| value.split(':'));
    match &start.program {
        Program::Words(words) => {
            let Some(name) = words.first() else {
                return Err(invalid("the command", "it has no words"));
            };
            if words.len() > STRINGS {
                return Err(too_large("the command"));
            }
            let mut tries = Vec::new();
            if name.contains('/') {
                tries.push((string(name.as_bytes().to_vec(), "the program")?, 0));
            } else if !name.is_empty() {
                let system = if path.is_none() { &SYSTEM_PATH[..] } else { &[] };
                for folder in listed().chain(system.iter().copied()) {
                    tries.push((in_folder(folder, name)?, 0));
                }
            }
            Ok((name.clone(), vec![table(words.iter().map(String::as_str))?], tries))
        }
        Program::Shell(line) => {
            if line.len() > COMMAND_BYTES {
                return Err(too_large("the command"));
            }
            let shells = ["bash", "sh"];
            let mut tries = Vec::new();
            for (index, shell) in shells.into_iter().enumerate() {
                for folder in listed().chain(SYSTEM_PATH) {
                    tries.push((in_folder(folder, shell)?, index));
                }
            }
            let tables = shells.map(|shell| table([shell, "-c", line].into_iter()));
            Ok(("sh".to_owned(), tables.into_iter().collect::<Answer<_>>()?, tries))
        }
    }
}

fn in_folder(folder: &str, name: &str) -> Answer<CString> {
    let folder = if folder.is_empty() { "." } else { folder };
    string(format!("{folder}/{name}").into_bytes(), "PATH")
}

fn environment(start: &ExecStart) -> Answer<StringTable> {
    let mut strings = Vec::with_capacity(start.environment.len());
    for (name, value) in &start.environment {
        if name.is_empty() || name.contains('=') {
            return Err(invalid("the environment", "a variable's name is empty or contains `=`"));
        }
        strings.push(string(format!("{name}={value}").into_bytes(), "the environment")?);
    }
    Ok(StringTable::new(strings))
}

fn table<'a>(strings: impl Iterator<Item = &'a str>) -> Answer<StringTable> {
    let strings: Answer<Vec<_>> =
        strings.map(|text| string(text.as_bytes().to_vec(), "the command")).collect();
    Ok(StringTable::new(strings?))
}

fn string(bytes: Vec<u8>, what: &str) -> Answer<CString> {
    CString::new(bytes).map_err(|_| invalid(what, "it contains a zero byte"))
}

/// A file in memory rather than a pipe: nobody has to feed it.
fn stdin(bytes: &[u8]) -> Answer<OwnedFd> {
    if bytes.len() > STDIN_BYTES {
        return Err(too_large("standard input"));
    }
    let failed = |errno| from_errno("make", "standard input", errno);
    if bytes.is_empty() {
        return openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(failed);
    }
    let file = memfd_create("stdin", MemfdFlags::CLOEXEC).map_err(failed)?;
    let mut left = bytes;
    while !left.is_empty() {
        match write(&file, left) {
            Ok(written) => left = &left[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    seek(&file, SeekFrom::Start(0)).map_err(failed)?;
    Ok(file)
}

fn invalid(what: &str, why: &str) -> pyro_protocol::message::Refusal {
    refuse(RefusalKind::Invalid, what, format!("run the command: {what}: {why}"))
}

fn too_large(what: &str) -> pyro_protocol::message::Refusal {
    refuse(RefusalKind::TooLarge, what, format!("run the command: {what} is too large"))
}
