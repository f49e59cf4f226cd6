//! Programs that work on files of the guest's ids, outside any machine: in a user namespace with
//! the machine's id map, or directly where the caller is root and reaches them anyway.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    os::unix::{net::UnixStream, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use pyro_machine::MachineError;
use pyro_protocol::launch::SOCKET_FD;
use pyro_sys::{Context, SysError, descriptor, process};

use crate::{Ids, conversation::PATIENCE, failure, namespaces};

/// Removals that were started and whose first process was not collected yet.
static ENDED: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// The streams of a program.
#[derive(Debug)]
pub struct Streams {
    /// Its input.
    pub stdin: Stdio,
    /// Its output.
    pub stdout: Stdio,
    /// Its complaints.
    pub stderr: Stdio,
}

/// Starts a program as user 0 of the id map: what it makes belongs to the guest's ids, and it may
/// read and remove whatever belongs to them. Its environment is empty; its other namespaces, and
/// so its view of files and the network, are the caller's.
///
/// # Errors
/// The kernel refuses the namespace or the ids.
pub fn spawn(
    agent: &Path,
    ids: &Ids,
    program: &OsStr,
    arguments: &[&OsStr],
    streams: Streams,
) -> Result<Child, MachineError> {
    let mut command = match ids {
        // Root's layers are stored as they are, and root reaches the uppers' ids.
        Ids::Root { .. } => Command::new(program),
        Ids::Many { .. } | Ids::One { .. } => {
            let mut command = Command::new(agent);
            command.arg0("pyro-guest").arg("enter").arg(if ids.is_one() { "one" } else { "many" });
            command.arg(program);
            command
        }
    };
    command.args(arguments).env_clear();
    command.stdin(streams.stdin).stdout(streams.stdout).stderr(streams.stderr);
    if matches!(ids, Ids::Root { .. }) {
        return command.spawn().doing("start", program.display()).map_err(failure);
    }
    let (mut ours, theirs) =
        UnixStream::pair().doing("make", "a pair of sockets").map_err(failure)?;
    descriptor::pass(&mut command, theirs.into(), SOCKET_FD);
    let mut child = command.spawn().doing("start", agent.display()).map_err(failure)?;
    drop(command);
    if let Err(error) = map(&mut ours, ids, child.id()) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    Ok(child)
}

fn map(socket: &mut UnixStream, ids: &Ids, pid: u32) -> Result<(), MachineError> {
    let gone = |why| failure(SysError::invalid("hear from", &"the helper", why));
    if !process::wait_readable(&*socket, Some(PATIENCE)).map_err(failure)? {
        return Err(gone("it took too long"));
    }
    let mut byte = [0];
    if socket.read(&mut byte).doing("hear from", "the helper").map_err(failure)? == 0 {
        return Err(MachineError::HostUnfit {
            check: namespaces::USER_NAMESPACES,
            reason: "the kernel gives this user no user namespace".to_owned(),
            mend: "pyro doctor".to_owned(),
        });
    }
    ids.write(pid)?;
    socket.write_all(&byte).doing("tell", "the helper").map_err(failure)
}

/// Starts the removal of trees in a process that stays behind.
///
/// # Errors
/// It cannot be started.
pub fn discard(agent: &Path, ids: &Ids, paths: &[&Path]) -> Result<(), MachineError> {
    if paths.is_empty() {
        return Ok(());
    }
    let mut arguments = vec![OsStr::new("remove")];
    arguments.extend(paths.iter().map(|path| path.as_os_str()));
    let streams = Streams { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::null() };
    let child = spawn(agent, ids, agent.as_os_str(), &arguments, streams)?;
    // It forks and ends at once; the copy that works is nobody's child. Its end is collected by
    // the next removal (or by the kernel, with this process) rather than waited for.
    let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
    ended.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    ended.push(child);
    Ok(())
}
