//! A fresh home for real `pyro` processes that are killed, and what must hold after the next call:
//! nothing is left of what was undone, and what was promised is there.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything that goes on in the background may take before a test fails.
const CEILING: Duration = Duration::from_secs(30);

pub struct Home {
    pub folder: tempfile::TempDir,
    /// Every workspace that was ever seen in it.
    seen: std::cell::RefCell<BTreeSet<String>>,
}

impl Home {
    pub fn new() -> Self {
        // Not /tmp, which may be in memory.
        let folder = tempfile::Builder::new().prefix("pyro-crash-").tempdir_in("/var/tmp").unwrap();
        let project = folder.path().join("project");
        fs::create_dir(&project).unwrap();
        fs::write(project.join("kept.txt"), "seeded\n").unwrap();
        Self { folder, seen: std::cell::RefCell::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub fn pyro(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyro"));
        command
            .args(arguments)
            .current_dir(self.path("project"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("PYRO_HOME", self.home())
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.pyro(arguments).output().unwrap()
    }

    /// The reply or failure of a call.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["--json"], arguments].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}", said(&output)))
    }

    /// The reply of a call that must work.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> Value {
        let reply = self.json(arguments);
        assert!(reply.get("error").is_none(), "{arguments:?}: {reply}");
        reply
    }

    /// A workspace of the project, by its name.
    #[track_caller]
    pub fn create(&self, name: &str) {
        self.ok(&["workspace", "create", "--seed-path", ".", "--name", name]);
        self.look();
    }

    /// A command inside that must exit 0; what it wrote.
    #[track_caller]
    pub fn sh(&self, workspace: &str, line: &str) -> String {
        let output = self.run(&["workspace", "exec", workspace, "--", "sh", "-c", line]);
        assert!(output.status.success(), "{line}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs pyro until that step, where it dies as by kill -9.
    #[track_caller]
    pub fn killed_at(&self, point: &str, arguments: &[&str]) {
        let output = self.pyro(arguments).env("PYRO_CRASH_AT", point).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{point}: {}", said(&output));
        self.look();
    }

    /// Remembers which workspaces there are, for whatever may be left of them.
    pub fn look(&self) {
        for folder in ["workspaces", "locks", "trash"] {
            let Ok(entries) = fs::read_dir(self.home().join(folder)) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name().into_string().unwrap();
                if name.starts_with("ws_") {
                    self.seen.borrow_mut().insert(name[..13].to_owned());
                }
            }
        }
    }

    /// Ends a workspace's machine from outside, as running out of memory would.
    pub fn stop(&self, workspace: &str) {
        let status = self.ok(&["workspace", "status", workspace]);
        let id = status["workspace"].as_str().unwrap();
        let lock =
            fs::read_to_string(self.home().join("workspaces").join(id).join("lock")).unwrap();
        // The second line is the agent: process 1 inside.
        let agent: i32 = lock.lines().nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let agent = rustix::process::Pid::from_raw(agent).unwrap();
        let _ = rustix::process::kill_process(agent, rustix::process::Signal::KILL);
        wait_until("the machine ends", || {
            self.ok(&["workspace", "status", workspace])["state"] == "stopped"
        });
    }

    fn entries(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.home().join(folder)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "format");
        names.sort();
        names
    }

    /// Exactly these workspaces are there, each at rest and whole, and nothing else of any other.
    #[track_caller]
    pub fn assert_only(&self, kept: &[&str]) {
        self.look();
        // A process that pyro was just starting when it was killed may hold its lock for a moment.
        wait_until("changes are finished or undone", || {
            let reply = self.ok(&["workspace", "list", "--limit", "500"]);
            let rows = reply["workspaces"].as_array().unwrap();
            rows.iter().all(|row| row["state"] == "running" || row["state"] == "stopped")
        });
        let reply = self.ok(&["workspace", "list", "--limit", "500"]);
        let rows = reply["workspaces"].as_array().unwrap();
        let mut ids = Vec::new();
        for row in rows {
            let state = row["state"].as_str().unwrap();
            assert!(state == "running" || state == "stopped", "{row}");
            let name = row["name"].as_str().unwrap_or("none");
            assert!(kept.contains(&name), "{row}");
            ids.push(row["workspace"].as_str().unwrap().to_owned());
        }
        assert_eq!(rows.len(), kept.len(), "{reply}");
        ids.sort();
        assert_eq!(self.entries("workspaces"), ids, "folders without a record");
        let locks = self.entries("locks");
        assert!(locks.iter().all(|lock| ids.contains(lock)), "locks {locks:?}, kept {ids:?}");
        wait_until("trash is emptied", || self.entries("trash").is_empty());
        assert_eq!(self.entries("tmp"), Vec::<String>::new(), "work in progress");

        let gone: Vec<String> =
            self.seen.borrow().iter().filter(|id| !ids.contains(id)).cloned().collect();
        wait_until("processes end", || self.processes().len() == self.machines(rows));
        for cgroup in cgroups() {
            let name = cgroup.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!gone.iter().any(|id| name.contains(id.as_str())), "{}", cgroup.display());
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let home = self.home();
        assert!(!mounts.contains(home.to_str().unwrap()), "{mounts}");
    }

    /// Two processes each: the one that holds the machine, and its agent.
    fn machines(&self, rows: &[Value]) -> usize {
        2 * rows.iter().filter(|row| row["state"] == "running").count()
    }

    /// Processes whose program lies in this home: holders of machines, agents, removals, and
    /// supervisors of commands.
    pub fn processes(&self) -> Vec<u32> {
        let home = self.home();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe.starts_with(&home)) {
                found.push(pid);
            }
        }
        found
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let output =
            self.pyro(&["workspace", "list", "--limit", "500", "--json"]).output().unwrap();
        let reply: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        for row in reply["workspaces"].as_array().into_iter().flatten() {
            self.run(&["workspace", "delete", row["workspace"].as_str().unwrap_or_default()]);
        }
        let start = Instant::now();
        while !self.entries("trash").is_empty() && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn cgroups() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
                found.push(entry.path());
            }
        }
    }
    found
}

pub fn said(output: &Output) -> String {
    format!(
        "{:?}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// For what goes on in processes that nobody can wait for.
#[track_caller]
pub fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < CEILING, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Not run: says why, and fails where it must run.
pub fn skip(what: &str, why: &str) {
    let required = std::env::var("PYRO_REQUIRED").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == what), "must run, but: {why}");
    println!("skipped {what}: {why}");
}

/// Whether there is such a program.
pub fn has(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}
