//! A machine's cgroups: made and bounded while empty, entered, and removed after the end.
//!
//! In version 1 whoever belongs there moves itself by `tasks`, which costs microseconds, where
//! moving another process costs a grace period of up to 20 ms: the launcher of a container before
//! it has a child, which inherits; the process that becomes QEMU alone, its monitor stays outside.
//! In version 2 the child is cloned into place.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use pyro_protocol::launch::Cgroup;
use pyro_sys::mount::open_handle;

/// What was made, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    made: Vec<PathBuf>,
    by_task: Vec<PathBuf>,
    /// Where the child is cloned into.
    pub(crate) unified: Option<OwnedFd>,
    /// The file or directory that refused, and why.
    pub(crate) refused: Vec<(PathBuf, i32)>,
}

impl Cgroups {
    /// Makes them all; what cannot be had is noted and does without.
    pub(crate) fn make(wanted: &[Cgroup]) -> Self {
        let mut cgroups = Self::default();
        for cgroup in wanted {
            if let Err((path, error)) = cgroups.make_one(cgroup) {
                cgroups.refused.push((path, number(&error)));
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
                self.refused.push((file, number(&error)));
            }
        }
        if cgroup.unified {
            let handle = open_handle(directory).map_err(|error| error.source);
            self.unified = Some(handle.map_err(on(directory))?);
        } else {
            self.by_task.push(directory.clone());
        }
        Ok(())
    }

    /// Moves this process into those of version 1; what refused.
    pub(crate) fn enter(&self) -> Vec<(PathBuf, i32)> {
        let tasks = self.by_task.iter().map(|directory| directory.join("tasks"));
        tasks
            .filter_map(|tasks| {
                let errno = number(&fs::write(&tasks, "0").err()?);
                Some((tasks, errno))
            })
            .collect()
    }

    /// Moves this process out of those of version 1, to where they were made.
    pub(crate) fn leave(&self) {
        for parent in self.by_task.iter().filter_map(|directory| directory.parent()) {
            let _ = fs::write(parent.join("tasks"), "0");
        }
    }

    /// Where they are, for whoever must remove them when their maker cannot.
    pub(crate) fn made(&self) -> &[PathBuf] {
        &self.made
    }

    /// Removes them; everything in them has ended or left.
    pub(crate) fn remove(self) {
        for directory in &self.made {
            let _ = fs::remove_dir(directory);
        }
    }
}

fn number(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}
