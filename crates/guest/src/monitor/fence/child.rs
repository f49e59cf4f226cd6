//! What C does between its clone and QEMU, in this order: enter the cgroups, open what Q will see,
//! hear from M that its ids are mapped, take them, build the root and enter it, give up everything,
//! be filtered, become QEMU.

use std::{
    ffi::CString,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt as _, net::UnixStream},
    },
    time::Duration,
};

use pyro_protocol::encode;
use pyro_sys::{
    Context, Result, SysError,
    capability::{self, Capabilities},
    child::{StringTable, execve},
    process, seccomp_notify, socket,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, Mode, OFlags, openat},
    process::{Resource, umask},
};

use super::{FromChild, Plan, filter, root::Shown};
use crate::holder::Cgroups;

/// How long M may take to map the ids.
const PATIENCE: Duration = Duration::from_secs(10);
/// Files that QEMU may have open.
const OPEN_FILES: u64 = 256;

/// Becomes QEMU.
pub(super) fn main(plan: Plan<'_>, cgroups: &Cgroups, talk: &UnixStream) -> ! {
    let Err(error) = become_qemu(plan, cgroups, talk);
    // Nobody else is there to tell; without M this process ends anyway.
    let _ = say(
        talk,
        &FromChild::Failed {
            step: error.call.to_owned(),
            what: error.what.clone(),
            errno: error.errno(),
        },
        None,
    );
    process::exit_now(1)
}

fn say(talk: impl AsFd, frame: &FromChild, listener: Option<&OwnedFd>) -> Result<()> {
    let mut wire = Vec::new();
    encode(frame, &mut wire).map_err(std::io::Error::other).doing("encode", "a step")?;
    let descriptors: Vec<_> = listener.iter().map(|listener| listener.as_fd()).collect();
    socket::send(talk, &wire, &descriptors)
}

fn become_qemu(
    plan: Plan<'_>,
    cgroups: &Cgroups,
    talk: &UnixStream,
) -> Result<std::convert::Infallible> {
    // Seen from inside the new namespace nobody is root; `setgroups` is denied unless M is.
    let other_groups = plan.by_root;
    let refused = cgroups.enter();
    let shown = Shown::open(plan.launch)?;
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .doing("open", "/dev/null")?;
    hear_of_ids(talk)?;
    process::become_root(other_groups)?;
    process::die_with_parent()?;
    refuse_to_outlive(talk)?;
    shown.enter()?;
    umask(Mode::from_raw_mode(0o077));
    process::limit(Resource::Nofile, OPEN_FILES)?;
    // The disk's own bound is QEMU's to keep; this one holds also when QEMU is the guest's.
    process::limit(Resource::Fsize, plan.longest_file)?;
    // 1 and not 0: with 0 the kernel still starts the host's crash handler, with 1 it does not.
    process::limit(Resource::Core, 1)?;
    capability::bound_to(Capabilities::NONE)?;
    process::no_new_privileges()?;
    capability::set(Capabilities::NONE)?;
    let program = CString::new(plan.launch.qemu.as_os_str().as_bytes())
        .map_err(|_| SysError::invalid("run", &"QEMU", "a zero byte in its path"))?;
    let arguments = StringTable::new(plan.arguments);
    let environment = StringTable::new(Vec::new());
    let talk = plan.inherited.place(null.as_fd(), talk.as_fd())?;
    let listener = seccomp_notify::install_with_listener(&filter::program())?;
    say(&talk, &FromChild::Fenced { refused }, Some(&listener))?;
    let source = execve(&program, &arguments, &environment);
    // M reads this once the process has ended: it holds no descriptor that says so earlier.
    let error = SysError { call: "run", what: plan.launch.qemu.display().to_string(), source };
    let failed = FromChild::Failed {
        step: error.call.to_owned(),
        what: error.what.clone(),
        errno: error.errno(),
    };
    say(&talk, &failed, None)?;
    process::exit_now(1)
}

fn hear_of_ids(talk: &UnixStream) -> Result<()> {
    let mut go = [0; 1];
    if process::wait_readable(talk, Some(PATIENCE))?
        && matches!(rustix::io::read(talk, &mut go), Ok(1))
    {
        return Ok(());
    }
    Err(SysError::invalid("hear from", &"the monitor", "it is gone"))
}

/// M may have died before the wish to die with it was heard.
fn refuse_to_outlive(talk: &UnixStream) -> Result<()> {
    let mut waited = [PollFd::new(talk, PollFlags::empty())];
    if poll(&mut waited, Some(&Timespec::default())).doing("look for", "the monitor")? > 0 {
        return Err(SysError::invalid("look for", &"the monitor", "it is gone"));
    }
    Ok(())
}
