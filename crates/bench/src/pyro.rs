//! pyro as a candidate: its command line over a home of the harness's own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{About, Result},
    program::Program,
};

/// Workspaces at once that the harness's configuration allows.
const MOST: u32 = 1_000;

/// The command line of pyro.
#[derive(Debug, Clone)]
pub(crate) struct Pyro {
    program: PathBuf,
    home: PathBuf,
    config: PathBuf,
}

impl Pyro {
    /// With a fresh home in `place`; what an earlier run left there is ended and removed.
    pub(crate) fn fresh(program: &Path, place: &Path) -> Result<Self> {
        let pyro = Self {
            program: program.to_owned(),
            home: place.join("home"),
            config: place.join("config.toml"),
        };
        fs::create_dir_all(place).about(place)?;
        fs::write(&pyro.config, format!("max_workspaces = {MOST}\n")).about(&pyro.config)?;
        if pyro.home.exists() {
            pyro.forget()?;
        }
        Ok(pyro)
    }

    /// Over the home that an earlier run left in `place`, without its workspaces.
    pub(crate) fn kept(program: &Path, place: &Path) -> Result<Self> {
        let pyro = Self {
            program: program.to_owned(),
            home: place.join("home"),
            config: place.join("config.toml"),
        };
        fs::create_dir_all(place).about(place)?;
        fs::write(&pyro.config, format!("max_workspaces = {MOST}\n")).about(&pyro.config)?;
        pyro.clear()?;
        Ok(pyro)
    }

    /// The home.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// One command.
    pub(crate) fn call(&self, words: &[&str]) -> Program {
        Program::new([self.program.to_string_lossy()])
            .with(words.iter().copied())
            .variable("PYRO_HOME", &self.home)
            .variable("PYRO_CONFIG", &self.config)
    }

    /// Makes a workspace of a project (empty without one); its id.
    pub(crate) fn create(&self, project: Option<&Path>) -> Result<String> {
        self.creation(project).output()
    }

    /// The command that makes a workspace and prints its id.
    pub(crate) fn creation(&self, project: Option<&Path>) -> Program {
        let call = self.call(&["workspace", "create", "host", "--id-only"]);
        match project {
            Some(project) => call.with(["--seed-path".into(), project.to_string_lossy()]),
            None => call.with(["--no-seed"]),
        }
    }

    /// Makes a workspace in an environment on a machine; its id.
    pub(crate) fn create_in(
        &self,
        environment: &str,
        machine: &str,
        project: Option<&Path>,
    ) -> Result<String> {
        let create = ["workspace", "create", environment, "--machine", machine, "--id-only"];
        let call = self.call(&create);
        match project {
            Some(project) => call.with(["--seed-path".into(), project.to_string_lossy()]),
            None => call.with(["--no-seed"]),
        }
        .output()
    }

    /// Removes a workspace.
    pub(crate) fn delete(&self, workspace: &str) -> Result<()> {
        self.call(&["workspace", "delete", workspace]).time().map(drop)
    }

    /// Processes of a workspace's machine, as its lock names them: launcher and agent, or monitor
    /// and QEMU.
    pub(crate) fn processes(&self, workspace: &str) -> Result<Vec<u32>> {
        let lock = self.home.join("workspaces").join(workspace).join("lock");
        let text = fs::read_to_string(&lock).about(&lock)?;
        let pid = |line: &str| line.split(' ').next()?.parse().ok();
        Ok(text.lines().take(2).filter_map(pid).collect())
    }

    /// Ends all workspaces.
    pub(crate) fn clear(&self) -> Result<()> {
        let list = self.home.join("workspaces");
        let entries = fs::read_dir(&list).map(|entries| entries.flatten().collect::<Vec<_>>());
        for entry in entries.unwrap_or_default() {
            self.delete(&entry.file_name().to_string_lossy())?;
        }
        Ok(())
    }

    /// Ends all workspaces and removes the home, seeds and all.
    pub(crate) fn forget(&self) -> Result<()> {
        self.clear()?;
        // Guests' files belong to ids that only their user namespace reaches; deletion has moved
        // them to the trash, and the last of it may still be going on.
        for _ in 0..3 {
            if fs::remove_dir_all(&self.home).is_ok() || !self.home.exists() {
                return Ok(());
            }
        }
        fs::remove_dir_all(&self.home).about(&self.home)
    }
}
