//! The same run for a user who is not root: the harness makes one with ids of its own, runs itself
//! as that user, and removes the user again.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::run::{BWRAP, PYRO};
use crate::{
    bench::{Bench, is_root},
    error::{About, BenchError, Result},
    program::Program,
    row::Row,
    samples::Samples,
};

const NAME: &str = "pyro-bench";

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let mut row = Row::new("run, as an ordinary user with sub-ids").goal(PYRO, 5.0, BWRAP);
    if !is_root() {
        return Ok(vec![row.note("left out: the row above is this user's")]);
    }
    let user = User::make()?;
    let said = user.measure(bench)?;
    for name in [PYRO, BWRAP, "true"] {
        let mut samples = Samples::default();
        let values = said["rows"][0]["candidates"][name]["values"].as_array();
        for value in values.into_iter().flatten().filter_map(Value::as_f64) {
            samples.value(value);
        }
        row.candidates.push((name, samples));
    }
    Ok(vec![row])
}

struct User {
    home: PathBuf,
    id: u32,
    group: u32,
}

impl User {
    fn make() -> Result<Self> {
        remove();
        Program::new(["useradd", "--create-home", "--user-group", NAME]).time()?;
        let home = PathBuf::from(format!("/home/{NAME}"));
        let facts = fs::metadata(&home).about(&home)?;
        let user = Self { home, id: facts.uid(), group: facts.gid() };
        let ids = fs::read_to_string("/etc/subuid").unwrap_or_default();
        if !ids.lines().any(|line| line.starts_with(&format!("{NAME}:"))) {
            let range = ["--add-subuids", "900000-965535", "--add-subgids", "900000-965535"];
            Program::new(["usermod"]).with(range).with([NAME]).time()?;
        }
        Ok(user)
    }

    /// The run row of the harness as this user.
    fn measure(&self, bench: &Bench) -> Result<Value> {
        let this = std::env::current_exe().about(Path::new("the harness"))?;
        let harness = self.own_copy(&this, "harness")?;
        let pyro = self.own_copy(&bench.program, "pyro")?;
        let said = self.home.join("said.json");
        let mut command = Command::new(&harness);
        command
            .args(["--only", "run", "--json"])
            .arg(&said)
            .arg("--pyro")
            .arg(&pyro)
            .arg("--cache")
            .arg(self.home.join("cache"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .uid(self.id)
            .gid(self.group);
        if bench.quick {
            command.arg("--quick");
        }
        let line = format!("{} --only run, as {NAME}", harness.display());
        let ran = command
            .stderr(Stdio::piped())
            .output()
            .map_err(|source| BenchError::Start { program: line.clone(), source })?;
        if !ran.status.success() {
            return Err(BenchError::Failed {
                program: line,
                status: ran.status.to_string(),
                said: String::from_utf8_lossy(&ran.stderr).trim().to_owned(),
            });
        }
        let text = fs::read_to_string(&said).about(&said)?;
        serde_json::from_str(&text)
            .map_err(|_| BenchError::Reply { what: "the user's harness", said: text })
    }

    fn own_copy(&self, program: &Path, name: &str) -> Result<PathBuf> {
        let copy = self.home.join(name);
        fs::copy(program, &copy).about(program)?;
        chown(&copy, Some(self.id), Some(self.group)).about(&copy)?;
        Ok(copy)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        remove();
    }
}

/// Fails where there is no such user.
fn remove() {
    let _ = Program::new(["userdel", "--remove", NAME]).time();
}
