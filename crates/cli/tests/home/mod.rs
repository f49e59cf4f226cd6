//! A home of pyro that one test owns: a temporary folder, the binary that was built, and the end
//! of every workspace that the test made.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// The home, and a project beside it.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(home.project()).unwrap();
        home
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// `pyro`, in the project.
    pub(crate) fn pyro(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyro"));
        command
            .args(arguments)
            .current_dir(self.project())
            .env("PYRO_HOME", self.path())
            .env("PYRO_CONFIG", self.config())
            .stdin(Stdio::null());
        command
    }

    fn config(&self) -> PathBuf {
        let path = self.folder.path().join("config.toml");
        std::fs::write(&path, "").unwrap();
        path
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.pyro(arguments).output().unwrap()
    }

    /// The one JSON object that `--json` prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.pyro(&[&["--json"], arguments].concat()).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    }

    /// Makes an empty workspace of this name; None, said aloud, where no machine can run.
    pub(crate) fn workspace(&self, name: &str) -> Option<()> {
        let made = self.pyro(&["workspace", "create", "--no-seed", "--json", "--name", name]);
        let output = { made }.output().unwrap();
        let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
        match reply["error"]["code"].as_str() {
            None => Some(()),
            Some("host_unfit") => {
                let why = &reply["error"]["message"];
                let _ = writeln!(std::io::stderr(), "SKIPPED: no machine can run here: {why}");
                None
            }
            Some(_) => panic!("{reply}"),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !Path::new(&self.path()).exists() {
            return;
        }
        let list = self.json(&["workspace", "list"]);
        for row in list["workspaces"].as_array().into_iter().flatten() {
            self.run(&["workspace", "delete", row["workspace"].as_str().unwrap_or_default()]);
        }
    }
}
