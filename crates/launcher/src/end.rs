//! Ending a machine from outside, by whoever asks, whatever state it is in.

use std::{os::fd::OwnedFd, path::Path, time::Duration};

use pyro_machine::{Ending, MachineError};
use pyro_sys::{
    Context, SysError, lock as file_lock,
    process::{self, Identity},
};
use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    process::{Signal, pidfd_send_signal},
};

use crate::{
    bounds, failure,
    lock::{self, LOCK, Signed},
};

/// How long the end of a process whose machine was killed may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a machine is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// What is inside is killed: its holder then cleans up and ends by itself. All that was written
    /// is the host's already.
    KillInside,
    /// The holder is asked to end, and has this long for it. What is inside may have something to
    /// write yet.
    AskHolder(Duration),
}

/// Ends it and returns when its lock is free.
///
/// # Errors
/// It does not end, or is somebody else's.
pub fn end(directory: &Path, manner: Manner) -> Result<(), MachineError> {
    let Some(file) = lock::open(directory)? else { return Ok(()) };
    let mut watch = None;
    // Each round ends with the lock free, a machine killed, or a line written by one that starts.
    loop {
        let signed = lock::read(&file).doing("read", "the lock").map_err(failure)?;
        if !file_lock::is_locked(&file).map_err(failure)? {
            outlive(&signed)?;
            bounds::remove_left(&signed.cgroups);
            return Ok(());
        }
        let inside = open(signed.inside)?;
        let holder = open(signed.holder)?;
        let patience = match (manner, &inside, &holder) {
            (Manner::AskHolder(patience), _, Some(holder)) => {
                ask(holder)?;
                patience
            }
            (_, Some(inside), _) => {
                process::kill(inside).map_err(failure)?;
                PATIENCE
            }
            _ => PATIENCE,
        };
        if let Some(holder) = &holder
            && !process::wait_readable(holder, Some(patience)).map_err(failure)?
        {
            process::kill(holder).map_err(failure)?;
            await_end(holder)?;
        }
        if let Some(inside) = &inside {
            process::kill(inside).map_err(failure)?;
            await_end(inside)?;
        }
        if holder.is_none() && inside.is_none() {
            // Somebody is starting a machine and has not signed yet.
            match &watch {
                None => watch = Some(watch_for_changes(directory)?),
                Some(watch) => await_change(watch)?,
            }
        }
    }
}

/// Kills it, and gives back what waits for its end: the directory may be moved away meanwhile.
///
/// # Errors
/// It is somebody else's.
pub fn begin(directory: &Path, manner: Manner) -> Result<Ending, MachineError> {
    if let Some(file) = lock::open(directory)?
        && file_lock::is_locked(&file).map_err(failure)?
    {
        let signed = lock::read(&file).doing("read", "the lock").map_err(failure)?;
        let holder = open(signed.holder)?;
        if let (Some(inside), Some(holder)) = (kill(signed.inside)?, holder) {
            if let Manner::AskHolder(_) = manner {
                // It has nothing to do any more.
                process::kill(&holder).map_err(failure)?;
            }
            return Ok(Box::new(move || {
                if !process::wait_readable(&holder, Some(PATIENCE)).map_err(failure)? {
                    process::kill(&holder).map_err(failure)?;
                    await_end(&holder)?;
                }
                await_end(&inside)?;
                bounds::remove_left(&signed.cgroups);
                Ok(())
            }));
        }
    }
    // It starts or ends at this moment.
    end(directory, manner)?;
    Ok(Box::new(|| Ok(())))
}

/// Waits for what is left of a machine whose lock is free already: a killed agent lets go of the
/// lock before the last of its processes is gone.
///
/// # Errors
/// It does not end.
pub fn outlive(signed: &Signed) -> Result<(), MachineError> {
    match kill(signed.inside)? {
        Some(inside) => await_end(&inside),
        None => Ok(()),
    }
}

fn ask(holder: &OwnedFd) -> Result<(), MachineError> {
    match pidfd_send_signal(holder, Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).doing("ask to end", "a machine").map_err(failure),
    }
}

fn open(identity: Option<Identity>) -> Result<Option<OwnedFd>, MachineError> {
    identity.map_or(Ok(None), |identity| identity.open().map_err(failure))
}

fn kill(identity: Option<Identity>) -> Result<Option<OwnedFd>, MachineError> {
    let process = open(identity)?;
    if let Some(process) = &process {
        process::kill(process).map_err(failure)?;
    }
    Ok(process)
}

fn await_end(process: &OwnedFd) -> Result<(), MachineError> {
    if process::wait_readable(process, Some(PATIENCE)).map_err(failure)? {
        return Ok(());
    }
    Err(failure(SysError::invalid("end", &"the machine", "its process does not end")))
}

fn watch_for_changes(directory: &Path) -> Result<OwnedFd, MachineError> {
    let what = directory.join(LOCK);
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
    let watch = watch.doing("watch", what.display()).map_err(failure)?;
    inotify::add_watch(&watch, &what, WatchFlags::MODIFY | WatchFlags::CLOSE)
        .doing("watch", what.display())
        .map_err(failure)?;
    Ok(watch)
}

fn await_change(watch: &OwnedFd) -> Result<(), MachineError> {
    if !process::wait_readable(watch, Some(PATIENCE)).map_err(failure)? {
        return Err(failure(SysError::invalid(
            "end",
            &"the machine",
            "it neither starts nor ends",
        )));
    }
    let mut events = [0; 4096];
    while matches!(rustix::io::read(watch, &mut events), Ok(1..)) {}
    Ok(())
}
