//! Ending a machine from outside, by whoever asks, whatever state it is in.

use std::{path::Path, time::Duration};

use pyro_machine::{Ending, MachineError};
use pyro_sys::{
    Context, SysError, lock as file_lock,
    process::{self, Identity},
};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::{
    bounds, failure,
    lock::{self, Signed},
    place::LOCK,
};

/// How long the end of a process whose machine was killed may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends it and returns when its lock is free.
pub(crate) fn end(directory: &Path) -> Result<(), MachineError> {
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
        // The agent first: its launcher then cleans up and ends by itself.
        let agent = kill(signed.agent)?;
        let launcher = open(signed.launcher)?;
        if let Some(launcher) = &launcher
            && !process::wait_readable(launcher, Some(PATIENCE)).map_err(failure)?
        {
            process::kill(launcher).map_err(failure)?;
            await_end(launcher)?;
        }
        if let Some(agent) = &agent {
            await_end(agent)?;
        }
        if launcher.is_none() && agent.is_none() {
            // Somebody is starting a machine and has not signed yet.
            match &watch {
                None => watch = Some(watch_for_changes(directory)?),
                Some(watch) => await_change(watch)?,
            }
        }
    }
}

/// Kills it, and gives back what waits for its end: the directory may be moved away meanwhile.
pub(crate) fn begin(directory: &Path) -> Result<Ending, MachineError> {
    if let Some(file) = lock::open(directory)?
        && file_lock::is_locked(&file).map_err(failure)?
    {
        let signed = lock::read(&file).doing("read", "the lock").map_err(failure)?;
        let launcher = open(signed.launcher)?;
        if let (Some(agent), Some(launcher)) = (kill(signed.agent)?, launcher) {
            return Ok(Box::new(move || {
                if !process::wait_readable(&launcher, Some(PATIENCE)).map_err(failure)? {
                    process::kill(&launcher).map_err(failure)?;
                    await_end(&launcher)?;
                }
                await_end(&agent)?;
                bounds::remove_left(&signed.cgroups);
                Ok(())
            }));
        }
    }
    // It starts or ends at this moment.
    end(directory)?;
    Ok(Box::new(|| Ok(())))
}

/// Waits for what is left of a machine whose lock is free already: a killed agent lets go of the
/// lock before the last of its processes is gone.
pub(crate) fn outlive(signed: &Signed) -> Result<(), MachineError> {
    match kill(signed.agent)? {
        Some(agent) => await_end(&agent),
        None => Ok(()),
    }
}

fn open(identity: Option<Identity>) -> Result<Option<std::os::fd::OwnedFd>, MachineError> {
    identity.map_or(Ok(None), |identity| identity.open().map_err(failure))
}

fn kill(identity: Option<Identity>) -> Result<Option<std::os::fd::OwnedFd>, MachineError> {
    let process = open(identity)?;
    if let Some(process) = &process {
        process::kill(process).map_err(failure)?;
    }
    Ok(process)
}

fn await_end(process: &std::os::fd::OwnedFd) -> Result<(), MachineError> {
    if process::wait_readable(process, Some(PATIENCE)).map_err(failure)? {
        return Ok(());
    }
    Err(failure(SysError::invalid("end", &"the machine", "its process does not end")))
}

fn watch_for_changes(directory: &Path) -> Result<std::os::fd::OwnedFd, MachineError> {
    let what = directory.join(LOCK);
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
    let watch = watch.doing("watch", what.display()).map_err(failure)?;
    inotify::add_watch(&watch, &what, WatchFlags::MODIFY | WatchFlags::CLOSE)
        .doing("watch", what.display())
        .map_err(failure)?;
    Ok(watch)
}

fn await_change(watch: &std::os::fd::OwnedFd) -> Result<(), MachineError> {
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
