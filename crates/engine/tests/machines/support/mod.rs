//! A fresh home with its engine for each test, and what every test may assert of it: that nothing
//! is left over.
//!
//! Calls go by name and JSON, as the doors make them. What cannot run here is skipped with its
//! reason, and fails instead when `PYRO_REQUIRED` names it.

pub mod tree;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use pyro_engine::{Config, Context, Door, Engine, Settings};
use pyro_operations::{Code, Failure};
use serde_json::{Value, json};

/// How long anything that goes on in the background may take before the test fails.
pub const CEILING: Duration = Duration::from_secs(30);

pub struct Home {
    pub engine: Engine,
    pub folder: tempfile::TempDir,
    /// Others use the home too: this test's workspaces have this label.
    label: Option<String>,
}

impl Home {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        // Not /tmp, which may be in memory.
        let folder =
            tempfile::Builder::new().prefix("pyro-engine-").tempdir_in("/var/tmp").unwrap();
        let engine = Engine::open(settings(folder.path(), config)).unwrap();
        Self { engine, folder, label: None }
    }

    /// A home that other tests use at the same time.
    pub fn shared(engine: Engine) -> Self {
        let folder =
            tempfile::Builder::new().prefix("pyro-engine-").tempdir_in("/var/tmp").unwrap();
        let label = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        Self { engine, folder, label: Some(label) }
    }

    /// Those of this test's workspaces, in a home that is shared.
    pub fn labels(&self) -> Value {
        self.label.as_ref().map_or_else(|| json!({}), |label| json!({ "test": label }))
    }

    /// The same home through another engine, as another process has it.
    pub fn another(&self) -> Engine {
        Engine::open(self.engine.settings().clone()).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn home(&self) -> PathBuf {
        self.engine.settings().home.clone()
    }

    pub fn context(&self) -> Context {
        Context::new(Door::Sdk, self.folder.path().to_owned()).unwrap()
    }

    pub fn call(&self, name: &str, arguments: Value) -> Result<Value, Failure> {
        self.engine.call_json(name, &arguments, &self.context())
    }

    /// A call that must work.
    #[track_caller]
    pub fn ok(&self, name: &str, arguments: Value) -> Value {
        match self.call(name, arguments.clone()) {
            Ok(reply) => reply,
            Err(failure) => panic!("{name} {arguments}: {failure:?}"),
        }
    }

    /// A call that must fail so, with a hint.
    #[track_caller]
    pub fn refused(&self, name: &str, arguments: Value, code: Code) -> Failure {
        match self.call(name, arguments.clone()) {
            Ok(reply) => panic!("{name} {arguments} must be refused: {reply}"),
            Err(failure) => {
                assert_eq!(failure.code, code, "{name} {arguments}: {failure:?}");
                assert!(!failure.hint.is_empty(), "no hint: {failure:?}");
                failure
            }
        }
    }

    /// A workspace of a host directory or archive.
    #[track_caller]
    pub fn create(&self, seed: &Path) -> String {
        text(&self.ok("workspace_create", json!({ "seed_path": seed }))["workspace"])
    }

    #[track_caller]
    pub fn create_empty(&self) -> String {
        text(&self.ok("workspace_create", json!({ "no_seed": true }))["workspace"])
    }

    #[track_caller]
    pub fn exec(&self, workspace: &str, command: &str) -> Value {
        self.ok("workspace_exec", json!({ "workspace": workspace, "command": command }))
    }

    /// A command that must exit 0; its standard output.
    #[track_caller]
    pub fn sh(&self, workspace: &str, command: &str) -> String {
        let reply = self.exec(workspace, command);
        assert_eq!(reply["exit_code"], 0, "{command}: {reply}");
        text(&reply["stdout"])
    }

    /// A script that must exit 0, however long it is.
    #[track_caller]
    pub fn script(&self, workspace: &str, script: &str) -> String {
        let reply = self.ok(
            "workspace_exec",
            json!({ "workspace": workspace, "command": "bash", "stdin": script }),
        );
        assert_eq!(reply["exit_code"], 0, "{script}: {reply}");
        text(&reply["stdout"])
    }

    #[track_caller]
    pub fn delete(&self, workspace: &str) {
        self.ok("workspace_delete", json!({ "workspace": workspace }));
    }

    pub fn records(&self) -> Vec<Value> {
        let reply = self.ok("workspace_list", json!({}));
        reply["workspaces"].as_array().unwrap().clone()
    }

    /// Ends a workspace's machine from outside, as running out of memory would.
    pub fn kill_machine(&self, workspace: &str) {
        let lock = self.home().join("workspaces").join(workspace).join("lock");
        let text = std::fs::read_to_string(lock).unwrap();
        // The second line is the agent: process 1 inside.
        let agent = text.lines().nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let agent = rustix::process::Pid::from_raw(agent).unwrap();
        let _ = rustix::process::kill_process(agent, rustix::process::Signal::KILL);
        let state = || self.call("workspace_status", json!({ "workspace": workspace }));
        wait_until(
            "the machine ends",
            || state().map_or(true, |reply| reply["state"] == "stopped"),
            || format!("{:?}", state()),
        );
    }

    /// Every path of the home that belongs to a workspace or to work in progress.
    pub fn left(&self) -> Vec<PathBuf> {
        ["workspaces", "trash", "tmp", "locks"]
            .iter()
            .flat_map(|folder| std::fs::read_dir(self.home().join(folder)).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.ends_with("locks/format"))
            .collect()
    }

    /// Nothing is left of any workspace: no record, folder, lock, trash or process.
    #[track_caller]
    pub fn assert_nothing_is_left(&self) {
        assert_eq!(self.records(), Vec::<Value>::new());
        wait_until("the home is empty", || self.left().is_empty(), || format!("{:?}", self.left()));
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let request = json!({ "limit": 500, "labels": self.labels() });
        let Ok(reply) = self.call("workspace_list", request) else { return };
        for row in reply["workspaces"].as_array().into_iter().flatten() {
            let _ = self.call("workspace_delete", json!({ "workspace": row["workspace"] }));
        }
        if self.label.is_some() {
            return;
        }
        let start = Instant::now();
        while !self.left().is_empty() && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub fn settings(folder: &Path, config: Config) -> Settings {
    Settings { home: folder.join("home"), config, ..Settings::default() }
}

#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// For what goes on in processes that nobody can wait for.
#[track_caller]
pub fn wait_until(what: &str, done: impl Fn() -> bool, found: impl Fn() -> String) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < CEILING, "not in time: {what}; found {}", found());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Not run: says why, and fails where it must run.
pub fn skip(what: &str, why: &str) {
    let required = std::env::var("PYRO_REQUIRED").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == what), "must run, but: {why}");
    println!("skipped {what}: {why}");
}

/// Whether tests that need root can run.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
