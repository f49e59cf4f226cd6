//! Where a story is played: a room, a home, a checkout with a failing test, and the pyro that was
//! built. Hosts are started here; what they leave is deleted at the end.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use serde_json::Value;

use crate::{
    host::{Host, Ways},
    model::{Model, Talk},
    room::{Room, only_child},
    script::Script,
};

/// What the longest story may take on a machine that does other things too.
const DEADLINE: Duration = Duration::from_secs(240);

pub(crate) struct Stage {
    room: Room,
    folder: tempfile::TempDir,
    pyro: PathBuf,
}

/// The line with the mistake, and what it must be.
pub(crate) const BAD: &str = "    return a - b";
pub(crate) const GOOD: &str = "    return a + b";
/// Runs the project's tests; leaves nothing behind.
pub(crate) const TEST: &str = "python3 -B -m unittest -v";

impl Stage {
    /// A stage for these hosts; None, said aloud, where it cannot be had.
    pub(crate) fn new(hosts: &[Host]) -> Option<Self> {
        let missing = hosts.iter().find_map(|host| host.program().err());
        let stage = match missing {
            Some(missing) => Err(missing),
            None => Self::made(),
        };
        stage.map_err(|why| skip(&why)).ok()
    }

    fn made() -> Result<Self, String> {
        let pyro = pyro()?;
        let room = Room::new()?;
        let stage = Self { room, folder: tempfile::tempdir().unwrap(), pyro };
        for folder in [stage.project(), stage.home(), stage.path("tmp")] {
            std::fs::create_dir(folder).unwrap();
        }
        let write =
            |name: &str, text: &str| std::fs::write(stage.project().join(name), text).unwrap();
        write("calc.py", &format!("def add(a, b):\n{BAD}\n"));
        write(
            "test_calc.py",
            "import unittest\n\nfrom calc import add\n\n\nclass Sums(unittest.TestCase):\n    \
             def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n",
        );
        write("README.md", "# calc\n\nAdds, or should.\n");
        stage.git(&["init", "--quiet", "--initial-branch=main"]);
        stage.git(&["add", "."]);
        stage.git(&["commit", "--quiet", "--message=all of it"]);
        Ok(stage)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.path("project")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// git on the checkout, as the person would.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"])
            .arg("-C")
            .arg(self.project())
            .args(arguments)
            .env("HOME", self.home())
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The checkout is as it was made.
    #[track_caller]
    pub(crate) fn checkout_is_untouched(&self) {
        assert_eq!(self.git(&["status", "--porcelain", "--ignored=no"]), "");
        let calc = std::fs::read_to_string(self.project().join("calc.py")).unwrap();
        assert!(calc.contains(BAD), "{calc}");
    }

    fn command(&self, program: &Path, variables: &[(&str, &str)]) -> Command {
        // No PYRO_HOME: Codex would not hand it on, and all must find the same workspaces.
        let (home, tmp) = (self.home(), self.path("tmp"));
        let mut all = vec![
            ("HOME", home.to_str().unwrap()),
            ("TMPDIR", tmp.to_str().unwrap()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("LANG", "C.UTF-8"),
            ("TERM", "dumb"),
        ];
        all.extend(variables);
        self.room.command(program, &self.project(), &all)
    }

    /// pyro by hand, beside the hosts.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        // What waits for a host waits in vain when the host's story went wrong.
        let mut command = self.command(Path::new("timeout"), &[]);
        command.args(["--kill-after=5", "200"]).arg(&self.pyro).args(arguments).output().unwrap()
    }

    /// The one JSON object that `--json` prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.cli(&[&["--json"], arguments].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    }

    /// Lets a host play a script to its end, in pyro's usual surface.
    #[track_caller]
    pub(crate) fn play(&self, host: Host, ways: &Ways, script: Script) -> Talk {
        self.start(host, ways, script).finish()
    }

    /// The same, while the test does something else.
    pub(crate) fn start(&self, host: Host, ways: &Ways, script: Script) -> Playing {
        let model = Model::start(self.room.listener(), host, script);
        let start = host.start(&self.home(), &self.pyro, model.port, ways);
        let variables: Vec<(&str, &str)> =
            start.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let said = self.path(&format!("{host:?}.said"));
        let file = std::fs::File::create(&said).unwrap();
        let child = self
            .command(&start.program, &variables)
            .args(&start.arguments)
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Playing { host, child, model, said }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.home().join(".local/share/pyro").exists() {
            return;
        }
        // A failed story may leave workspaces; what they hold beside processes goes with them.
        let list = self.cli(&["--json", "workspace", "list"]);
        let list: Value = serde_json::from_slice(&list.stdout).unwrap_or_default();
        for row in list["workspaces"].as_array().into_iter().flatten() {
            self.cli(&["workspace", "delete", row["workspace"].as_str().unwrap_or_default()]);
        }
    }
}

/// A host at work.
pub(crate) struct Playing {
    host: Host,
    child: Child,
    model: Model,
    said: PathBuf,
}

impl Playing {
    /// Waits for the end of the story; fails with what the host and the model said.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Talk {
        let in_time = self.wait(DEADLINE);
        let talk = self.model.talk();
        let said = std::fs::read_to_string(&self.said).unwrap_or_default();
        let tail: String = said.chars().skip(said.chars().count().saturating_sub(6_000)).collect();
        if let Some(wrong) = &talk.wrong {
            panic!("{:?}: {wrong}\n--- the host said ---\n{tail}", self.host);
        }
        assert!(in_time, "{:?} did not end; it said:\n{tail}", self.host);
        assert!(talk.over, "{:?} ended before the story did; it said:\n{tail}", self.host);
        talk
    }

    fn wait(&mut self, most: Duration) -> bool {
        let pid = Pid::from_child(&self.child);
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let most = Timespec { tv_sec: most.as_secs().try_into().unwrap(), tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&most)).unwrap();
        if ready == 0 {
            return false;
        }
        self.child.wait().unwrap();
        true
    }

    /// Kills the host alone, at once.
    pub(crate) fn kill(&mut self) {
        let host = only_child(self.child.id()).unwrap();
        let host = Pid::from_raw(host.try_into().unwrap()).unwrap();
        kill_process(host, Signal::KILL).unwrap();
        assert!(self.wait(DEADLINE), "a killed process ends");
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        if let Some(host) = only_child(self.child.id())
            && let Some(host) = Pid::from_raw(host.try_into().unwrap_or_default())
        {
            let _ = kill_process(host, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pyro that was built together with this test, or the one that is named.
fn pyro() -> Result<PathBuf, String> {
    let built = std::env::current_exe().unwrap();
    let beside = built.ancestors().nth(2).unwrap().join("pyro");
    let path = std::env::var_os("PYRO_TEST_PYRO").map_or(beside, PathBuf::from);
    let built = path.is_file().then_some(path);
    built.ok_or_else(|| "no pyro was built: cargo build -p pyro-cli".to_owned())
}

/// Not run: says why, and fails where it must run.
fn skip(why: &str) {
    let required = std::env::var("PYRO_REQUIRED").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == "clients"), "must run, but: {why}");
    println!("skipped clients: {why}");
}
