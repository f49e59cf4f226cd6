//! Q's cgroups: made and bounded by M while empty, entered by C alone, removed after its end.
//!
//! In version 1 C moves itself by `tasks`, which costs microseconds where moving another process
//! costs a grace period of up to 20 ms. In version 2 it is cloned into place.

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
    by_task: Vec<PathBuf>,
    /// Where C is cloned into.
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
    pub(super) fn enter(&self) -> Vec<(PathBuf, i32)> {
        let tasks = self.by_task.iter().map(|directory| directory.join("tasks"));
        tasks
            .filter_map(|tasks| {
                fs::write(&tasks, "0").err().map(|error| {
                    let errno = number(&error);
                    (tasks, errno)
                })
            })
            .collect()
    }

    /// Where they are, for whoever must remove them when M cannot.
    pub(super) fn made(&self) -> &[PathBuf] {
        &self.made
    }

    /// Removes them; everything in them has ended.
    pub(super) fn remove(self) {
        for directory in &self.made {
            let _ = fs::remove_dir(directory);
        }
    }
}

fn number(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}
