//! What the process brings along: the user's directories, the project, variables, and pyro's own
//! program. Given by the caller, so that a test brings its own.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use pyro_operations::chat_host::{ChatHost, Scope};

use crate::{ChatHostError, Result};

/// What the process brings along.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The user's home directory.
    pub user_home: PathBuf,
    /// Where relative paths begin.
    pub cwd: PathBuf,
    /// Variables of the process.
    pub variables: BTreeMap<OsString, OsString>,
    /// This pyro, absolute and resolved.
    pub binary: PathBuf,
    /// The place of pyro's home, and of its configuration file if one was named.
    pub pyro_home: PathBuf,
    /// The configuration file, if one was named.
    pub pyro_config: Option<PathBuf>,
    /// Where what was changed is recorded.
    pub records: PathBuf,
}

impl Surroundings {
    /// Of this process.
    ///
    /// # Errors
    /// Without HOME, or when pyro's own program was moved away while it runs.
    pub fn of_this_process(
        cwd: &Path,
        pyro_home: &Path,
        pyro_config: Option<&Path>,
        records: PathBuf,
    ) -> Result<Self> {
        let variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        let user_home = variables.get(&OsString::from("HOME")).map(PathBuf::from);
        let user_home = user_home.filter(|home| home.is_absolute()).ok_or_else(|| {
            ChatHostError::Unsuitable {
                step: "find the chat hosts' files",
                why: "HOME is not set to an absolute path".to_owned(),
                hint: "set HOME".to_owned(),
            }
        })?;
        let binary = std::env::current_exe()
            .and_then(|path| path.canonicalize())
            .map_err(ChatHostError::Program)?;
        Ok(Self {
            user_home,
            cwd: cwd.to_path_buf(),
            variables,
            binary,
            pyro_home: pyro_home.to_path_buf(),
            pyro_config: pyro_config.map(Path::to_path_buf),
            records,
        })
    }

    /// A variable that names an absolute directory.
    pub(crate) fn directory(&self, variable: &str) -> Option<PathBuf> {
        let value = self.variables.get(&OsString::from(variable))?;
        Some(PathBuf::from(value)).filter(|path| path.is_absolute())
    }

    /// The project: the Git checkout around the current directory, else that directory. A `.git` that
    /// somebody else put above it makes no project.
    pub(crate) fn project(&self) -> PathBuf {
        let owner = |path: &Path| path.metadata().ok().map(|facts| facts.uid());
        let trusted = [Some(rustix::process::geteuid().as_raw()), Some(0), owner(&self.cwd)];
        let is_checkout = |directory: &&Path| {
            let owner = owner(&directory.join(".git"));
            owner.is_some() && trusted.contains(&owner)
        };
        self.cwd.ancestors().find(is_checkout).unwrap_or(&self.cwd).to_path_buf()
    }

    /// Arguments that pin pyro's home and configuration where a chat host, which hands on few
    /// variables or none, would lead to others.
    pub(crate) fn pins(&self) -> Vec<String> {
        let mut pins = Vec::new();
        if self.pyro_home != self.user_home.join(".local/share/pyro") {
            pins.push(format!("--home={}", self.pyro_home.display()));
        }
        let usual = self.user_home.join(".config/pyro/config.toml");
        if let Some(config) = self.pyro_config.as_ref().filter(|config| **config != usual) {
            pins.push(format!("--config={}", config.display()));
        }
        pins
    }

    /// A program on the PATH, in an absolute directory: never one that a project brings along.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.variables.get(&OsString::from("PATH"))?;
        std::env::split_paths(path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(name))
            .find(|candidate| crate::program::is_executable(candidate))
    }

    /// `pyro host VERB`, as it is typed for this server.
    pub(crate) fn command(&self, verb: &str, host: ChatHost, scope: Scope, name: &str) -> String {
        let mut words = format!("pyro host {verb} {host}");
        if scope == Scope::Project {
            words.push_str(" --scope project");
        }
        if name != pyro_operations::chat_host::SERVER_NAME {
            words.push_str(&format!(" --as {name}"));
        }
        words
    }
}
