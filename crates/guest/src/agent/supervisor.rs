//! The process between the agent and one command. It forks the command, tells how it ended, and
//! stays as the parent of whatever the command leaves behind until that is gone too.
//!
//! Promises: everything that the command starts, however it daemonises, stays below this process
//! (it is a subreaper), which is how a tree is found to be ended. It keeps the agent's
//! capabilities, cannot be traced, blocks every signal that can be blocked and dies with the
//! agent. A workload of the same user can still kill or stop it: the agent sees both (`reap.rs`).

use std::{
    ffi::CString,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use pyro_sys::child::{
    Forked, SingleThread, StringTable, block_all_signals, borrow_number, close_from, close_number,
    execve, exit_now, fork, place_descriptor, restore_signals, set_close_on_exec,
};
use pyro_sys::clone::{self, Namespaces, clone};
use rustix::{
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{
        Pid, Resource, Rlimit, Signal, WaitOptions, chdir, getpid, getppid, set_child_subreaper,
        set_parent_process_death_signal, setrlimit, setsid, wait,
    },
};

use super::{Confine, command::Command, refusal::reason, report::Report};

const REPORT: i32 = 3;

/// What the agent keeps of a command it started.
pub(super) struct Running {
    pub(super) supervisor: i32,
    pub(super) report: OwnedFd,
    pub(super) outputs: [OwnedFd; 2],
}

/// What every command of this agent is started with.
pub(super) struct Ground<'a> {
    pub(super) proof: SingleThread,
    pub(super) confine: &'a Confine,
    pub(super) null: BorrowedFd<'a>,
    /// Where it is born, if not where the agent is.
    pub(super) cgroup: Option<BorrowedFd<'a>>,
    /// The limit of open files that the agent was started with, before it raised its own.
    pub(super) open_files: &'a Rlimit,
}

/// Starts the command and its supervisor.
pub(super) fn start(command: &Command, ground: &Ground<'_>) -> rustix::io::Result<Running> {
    let (report, report_end) = pipe()?;
    let (stdout, stdout_end) = pipe()?;
    let (stderr, stderr_end) = pipe()?;
    let stdin = command.stdin.as_ref().map_or(ground.null.as_raw_fd(), AsRawFd::as_raw_fd);
    let ends = [stdin, stdout_end.as_raw_fd(), stderr_end.as_raw_fd(), report_end.as_raw_fd()];
    let agent = getpid();
    match fork_into(ground).map_err(|error| errno_of(&error))? {
        Forked::Child => supervise(agent, ends, command, ground),
        Forked::Parent(supervisor) => Ok(Running { supervisor, report, outputs: [stdout, stderr] }),
    }
}

/// A process that is cloned into its cgroup has not to be moved there, which takes milliseconds.
fn fork_into(ground: &Ground<'_>) -> std::io::Result<Forked> {
    let Some(cgroup) = ground.cgroup else { return fork(ground.proof) };
    match clone(Namespaces::NONE, Some(cgroup)).map_err(|error| error.source)? {
        clone::Forked::Child => Ok(Forked::Child),
        clone::Forked::Parent { pid, .. } => Ok(Forked::Parent(pid.as_raw_nonzero().get())),
    }
}

/// A pipe whose reading end does not block.
fn pipe() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reading, true)?;
    Ok((reading, writing))
}

fn supervise(agent: Pid, ends: [i32; 4], command: &Command, ground: &Ground<'_>) -> ! {
    let failed = |step: &str, errno: Errno| -> ! {
        tell(ends[3], &Report::NotStarted { errno: errno.raw_os_error(), step: step.to_owned() });
        exit_now(1)
    };
    // The parent's death before this line is seen by the next.
    if let Err(errno) = set_parent_process_death_signal(Some(Signal::KILL)) {
        failed("watch the agent", errno);
    }
    if getppid() != Some(agent) {
        exit_now(1);
    }
    let settled = block_all_signals()
        .map_err(|error| errno_of(&error))
        .and_then(|()| set_child_subreaper(Some(getpid())))
        .and_then(|()| setsid().map(drop))
        .and_then(|()| settle(ends).map_err(|error| errno_of(&error)));
    if let Err(errno) = settled {
        failed("set up the supervisor", errno);
    }
    match fork(ground.proof) {
        Ok(Forked::Child) => become_command(command, ground),
        Ok(Forked::Parent(main)) => {
            for stream in 0..3 {
                close_number(stream);
            }
            watch(main)
        }
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(0);
            tell(REPORT, &Report::NotStarted { errno, step: "fork".to_owned() });
            exit_now(1)
        }
    }
}

/// The command's streams as 0, 1 and 2, the report as 3, and nothing else. All of `ends` are
/// above 2: the agent keeps those numbers taken.
fn settle(ends: [i32; 4]) -> std::io::Result<()> {
    for (end, number) in ends.into_iter().zip(0..) {
        place_descriptor(end, number)?;
    }
    set_close_on_exec(REPORT, true)?;
    close_from(4)
}

/// Reports the end of `main`, and waits until nothing is left of the tree.
fn watch(main: i32) -> ! {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == main => {
                tell(REPORT, &Report::Ended { status: status.as_raw() });
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => exit_now(0),
        }
    }
}

fn become_command(command: &Command, ground: &Ground<'_>) -> ! {
    let session = setsid();
    tell(REPORT, &Report::Exists { pid: getpid().as_raw_nonzero().get() });
    let failed = |step: &str, errno: i32| -> ! {
        tell(REPORT, &Report::NotStarted { errno, step: step.to_owned() });
        exit_now(1)
    };
    if let Err(errno) =
        session.map(drop).and_then(|()| setrlimit(Resource::Nofile, *ground.open_files))
    {
        failed("set up its process", errno.raw_os_error());
    }
    if let Err(error) = (ground.confine)() {
        failed(&format!("confine it: {error}"), error.raw_os_error().unwrap_or(0));
    }
    if let Err(errno) = chdir(&command.cwd) {
        failed("enter its directory", errno.raw_os_error());
    }
    if let Err(error) = restore_signals() {
        failed("restore its signals", error.raw_os_error().unwrap_or(0));
    }
    let (code, why) = run(command);
    let text = format!("{}: {why}\n", command.name);
    // Nobody may be left to read it.
    let _ = rustix::io::write(borrow_number(2), text.as_bytes());
    exit_now(code)
}

/// Tries each program in order. Comes back when none could be executed, with what a shell would
/// say and its exit code.
fn run(command: &Command) -> (i32, String) {
    let mut denied = None;
    for (program, table) in &command.tries {
        let Some(arguments) = command.arguments.get(*table) else { continue };
        let errno = errno_of(&execve(program, arguments, &command.environment));
        match errno {
            Errno::NOENT | Errno::NOTDIR if !exists(program) => {}
            Errno::NOENT => denied = Some("its interpreter is not there".to_owned()),
            // As every shell does with a script that has no first line naming one.
            Errno::NOEXEC => return (126, run_by_shell(program, arguments, command)),
            errno => denied = Some(reason(errno)),
        }
    }
    match denied {
        Some(why) => (126, why),
        None if command.name.contains('/') => (127, reason(Errno::NOENT)),
        None => (127, "command not found".to_owned()),
    }
}

fn run_by_shell(program: &CString, arguments: &StringTable, command: &Command) -> String {
    let mut strings = vec![c"sh".to_owned(), program.clone()];
    strings.extend(arguments.strings().iter().skip(1).cloned());
    let table = StringTable::new(strings);
    reason(errno_of(&execve(c"/bin/sh", &table, &command.environment)))
}

fn exists(program: &CString) -> bool {
    rustix::fs::stat(program).is_ok()
}

fn tell(descriptor: i32, report: &Report) {
    // The agent keeps its end open as long as this process lives; there is nobody else to tell.
    let _ = rustix::io::write(borrow_number(descriptor), &report.encode());
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
