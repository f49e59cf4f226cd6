//! The machine's cgroups: made and bounded while empty, entered, and removed after the end.
//!
//! In version 1 the launcher enters first and the child inherits: a process that moves itself by
//! `tasks` costs microseconds, moving another by `cgroup.procs` a grace period of up to 20 ms. In
//! version 2 the child is cloned into place.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use pyro_protocol::launch::Cgroup;
use pyro_sys::mount::open_handle;

/// What was made, and what was not.
#[derive(Debug, Default)]
pub(super) struct Cgroups {
    made: Vec<PathBuf>,
    entered: Vec<PathBuf>,
    /// Where the child is cloned into.
    pub(super) unified: Option<OwnedFd>,
    /// The file or directory that refused, and why.
    pub(super) refused: Vec<(PathBuf, i32)>,
}

impl Cgroups {
    /// Makes them all; what cannot be had is noted and does without.
    pub(super) fn make(wanted: &[Cgroup]) -> Self {
        let mut cgroups = Self::default();
        for cgroup in wanted {
            if let Err((path, error)) = cgroups.make_one(cgroup) {
                cgroups.refused.push((path, error.raw_os_error().unwrap_or(0)));
            }
        }
        cgroups
    }

    fn make_one(&mut self, cgroup: &Cgroup) -> Result<(), (PathBuf, std::io::Error)> {
        let directory = &cgroup.directory;
        let on = |path: &Path| {
            let path = path.to_owned();
            move |error| (path, error)
        };
        // One that an earlier machine of this workspace left is empty and can go.
        if fs::create_dir(directory).is_err() {
            let _ = fs::remove_dir(directory);
            fs::create_dir(directory).map_err(on(directory))?;
        }
        self.made.push(directory.clone());
        for (file, value) in &cgroup.writes {
            let file = directory.join(file);
            if let Err(error) = fs::write(&file, value) {
                self.refused.push((file, error.raw_os_error().unwrap_or(0)));
            }
        }
        if cgroup.unified {
            let handle = open_handle(directory).map_err(|error| error.source);
            self.unified = Some(handle.map_err(on(directory))?);
        } else {
            let tasks = directory.join("tasks");
            fs::write(&tasks, "0").map_err(on(&tasks))?;
            self.entered.push(directory.clone());
        }
        Ok(())
    }

    /// Where they are, for whoever must remove them when the launcher cannot.
    pub(super) fn made(&self) -> &[PathBuf] {
        &self.made
    }

    /// Leaves and removes them; everything else in them has ended.
    pub(super) fn remove(self) {
        for directory in &self.entered {
            if let Some(parent) = directory.parent() {
                let _ = fs::write(parent.join("tasks"), "0");
            }
        }
        for directory in &self.made {
            let _ = fs::remove_dir(directory);
        }
    }
}
