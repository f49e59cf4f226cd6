//! Hosts that have less than pyro would like: ordinary users with and without sub-ids, no
//! `newuidmap`, no user namespaces at all.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::{find, has, said, skip};

/// An ordinary user of this host, for as long as a test has it, and what it may read.
struct User {
    name: String,
    folder: tempfile::TempDir,
}

impl User {
    /// With sub-ids of its own, or without any.
    fn new(sub_ids: bool) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root makes users".to_owned());
        }
        if let Some(missing) = ["useradd", "userdel", "usermod", "setpriv"].iter().find(|p| !has(p))
        {
            return Err(format!("there is no {missing}"));
        }
        // One maker at a time: the programs refuse to wait for each other.
        let guard = fs::File::create("/var/tmp/pyro-test-users.lock").map_err(|e| e.to_string())?;
        guard.lock().map_err(|e| e.to_string())?;
        static MADE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let made = MADE.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let number = std::process::id() % 100_000 * 10 + made;
        let name = format!("pyrotest-{number}");
        let folder = tempfile::tempdir_in("/var/tmp").map_err(|e| e.to_string())?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let done = |program: &str, arguments: &[&str]| {
            let output =
                Command::new(program).args(arguments).output().map_err(|e| e.to_string())?;
            if output.status.success() {
                Ok(())
            } else {
                Err(format!("{program}: {}", said(&output)))
            }
        };
        let own = folder.path().join("own").display().to_string();
        done("useradd", &["--no-create-home", "--home-dir", &own, "--shell", "/bin/sh", &name])?;
        fs::create_dir(&own).unwrap();
        let user = Self { name, folder };
        let ranges = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let prefix = format!("{}:", user.name);
        let range =
            ranges("/etc/subuid").lines().find(|l| l.starts_with(&prefix)).map(str::to_owned);
        match (sub_ids, range) {
            (true, None) => {
                let first = 1_400_000_000 + (number % 1_000) * 65_536;
                let range = format!("{first}-{}", first + 65_535);
                done("usermod", &["--add-subuids", &range, "--add-subgids", &range, &user.name])?;
            }
            (false, Some(line)) => {
                let numbers: Vec<u32> = line.split(':').skip(1).flat_map(str::parse).collect();
                let range = format!("{}-{}", numbers[0], numbers[0] + numbers[1] - 1);
                done("usermod", &["--del-subuids", &range, "--del-subgids", &range, &user.name])?;
            }
            _ => {}
        }
        // The build's folder may be closed to others.
        fs::copy(env!("CARGO_BIN_EXE_pyro"), user.folder.path().join("pyro")).unwrap();
        let project = user.own("project");
        fs::create_dir(&project).unwrap();
        fs::write(project.join("kept.txt"), "seeded\n").unwrap();
        done("chown", &["-R", &user.name, &own])?;
        Ok(user)
    }

    fn own(&self, name: &str) -> PathBuf {
        self.folder.path().join("own").join(name)
    }

    /// pyro as that user, below `wrapper`.
    fn pyro(&self, wrapper: &[&str], path: &str, arguments: &[&str]) -> Output {
        let mut words = vec!["--reuid", &self.name, "--regid", &self.name, "--init-groups", "--"];
        words.extend(wrapper);
        // Found by this process's own PATH, not by the one that the child gets.
        Command::new(find("setpriv").unwrap())
            .args(words)
            .arg(self.folder.path().join("pyro"))
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.own(""))
            .current_dir(self.own("project"))
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.pyro(&[], PATH, &[&["--json"], arguments].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}", said(&output)))
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Value {
        let reply = self.json(arguments);
        assert!(reply.get("error").is_none(), "{arguments:?}: {reply}");
        reply
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let remove = || {
            let guard = fs::File::create("/var/tmp/pyro-test-users.lock");
            if let Ok(guard) = guard {
                let _ = guard.lock();
                // Also while the removal of its files still goes on.
                let gone = Command::new("userdel").args(["--force", &self.name]).output();
                if !std::thread::panicking() {
                    assert!(gone.is_ok_and(|o| o.status.success()), "{} stays", self.name);
                }
            }
        };
        if !self.own("project").is_dir() {
            // It was never made whole; its maker holds the lock.
            let _ = Command::new("userdel").args(["--force", &self.name]).output();
            return;
        }
        // Whatever a failed test left running ends with its workspaces.
        let output = self.pyro(&[], PATH, &["--json", "workspace", "list"]);
        let reply: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        for row in reply["workspaces"].as_array().into_iter().flatten() {
            self.pyro(&[], PATH, &["workspace", "delete", row["workspace"].as_str().unwrap_or("")]);
        }
        remove();
    }
}

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Create, run, edit, diff, export, reset, delete: the whole story, and nothing left of it.
fn story(user: &User) {
    let created = user.ok(&["workspace", "create", "--seed-path", ".", "--name", "w"]);
    assert_eq!(created["state"], "running", "{created}");
    let exec = |line: &str| user.ok(&["workspace", "exec", "w", "--", "sh", "-c", line]);
    let reply = exec("id -u; cat kept.txt; mkdir -p d/e; echo new > d/e/f; chmod 000 d/e/f");
    assert_eq!(reply["stdout"], "0\nseeded\n", "{reply}");
    user.ok(&[
        "workspace",
        "file",
        "edit",
        "w",
        "kept.txt",
        "--old-string",
        "seeded",
        "--new-string",
        "edited",
    ]);
    user.ok(&["workspace", "file", "write", "w", "made/by.txt", "--text", "hand\n"]);
    let diff = user.ok(&["workspace", "diff", "w"]);
    assert_eq!((&diff["created"], &diff["modified"]), (&2.into(), &1.into()), "{diff}");
    let out = user.own("out");
    user.ok(&["workspace", "export", "w", ".", "--output", out.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(out.join("kept.txt")).unwrap(), "edited\n");
    assert_eq!(fs::read_to_string(out.join("made/by.txt")).unwrap(), "hand\n");
    let owner = fs::metadata(out.join("made/by.txt")).unwrap();
    let mine = fs::metadata(user.own("project/kept.txt")).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(owner.uid(), mine.uid());
    user.ok(&["workspace", "reset", "w"]);
    assert_eq!(exec("cat kept.txt; ls")["stdout"], "seeded\nkept.txt\n");
    assert_eq!(fs::read_to_string(user.own("project/kept.txt")).unwrap(), "seeded\n");
    // What only ids of the guest may remove.
    exec("mkdir closed; echo x > closed/file; chmod 000 closed");
    user.ok(&["workspace", "delete", "w"]);
    let run = user.pyro(&[], PATH, &["run", "--", "echo", "said"]);
    assert_eq!(String::from_utf8_lossy(&run.stdout), "said\n", "{}", said(&run));
    let home = user.own(".local/share/pyro");
    for folder in ["workspaces", "trash", "tmp"] {
        crate::support::wait_until("nothing is left", || {
            fs::read_dir(home.join(folder)).unwrap().count() == 0
        });
    }
}

fn check<'a>(doctor: &'a Value, name: &str) -> &'a Value {
    let rows = doctor["checks"].as_array().unwrap();
    rows.iter().find(|row| row["check"] == name).unwrap_or_else(|| panic!("{name}: {doctor}"))
}

#[test]
fn an_ordinary_user_with_sub_ids() {
    let user = match User::new(true) {
        Ok(user) => user,
        Err(why) => return skip("many", &why),
    };
    if !has("newuidmap") {
        return skip("many", "there is no newuidmap");
    }
    story(&user);
    let doctor = user.ok(&["doctor"]);
    assert_eq!(check(&doctor, "sub_ids")["ok"], true);
    assert_eq!(check(&doctor, "id_helpers")["ok"], true);
}

#[test]
fn an_ordinary_user_without_sub_ids_or_without_newuidmap() {
    for sub_ids in [false, true] {
        let user = match User::new(sub_ids) {
            Ok(user) => user,
            Err(why) => return skip("one", &why),
        };
        if !sub_ids {
            story(&user);
            let doctor = user.ok(&["doctor"]);
            let row = check(&doctor, "sub_ids");
            assert_eq!(row["ok"], false, "{doctor}");
            assert!(row["mend"].as_str().unwrap().contains(&user.name), "{row}");
        }
        // Programs, but neither newuidmap nor newgidmap.
        let bin = user.folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for program in ["git", "tar", "sh"] {
            let _ =
                std::os::unix::fs::symlink(Path::new("/usr/bin").join(program), bin.join(program));
        }
        let path = bin.to_str().unwrap();
        let run = user.pyro(&[], path, &["run", "--", "/bin/echo", "said"]);
        assert_eq!(String::from_utf8_lossy(&run.stdout), "said\n", "{}", said(&run));
        let doctor = user.pyro(&[], path, &["--json", "doctor"]);
        let doctor: Value = serde_json::from_slice(&doctor.stdout).unwrap();
        let row = check(&doctor, "id_helpers");
        assert_eq!(row["ok"], false, "it is said: {doctor}");
        assert!(row["mend"].as_str().unwrap().len() > 10, "{row}");
        assert_eq!(doctor["healthy"], true, "{doctor}");
    }
}

#[test]
fn a_kernel_that_refuses_user_namespaces() {
    let user = match User::new(false) {
        Ok(user) => user,
        Err(why) => return skip("unfit", &why),
    };
    // Within a user namespace that allows no further one below it.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" \"$@\"";
    let wrapper = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", script];
    let probe = user.pyro(&wrapper, PATH, &["--version"]);
    if !probe.status.success() {
        return skip("unfit", &format!("no namespace without namespaces: {}", said(&probe)));
    }
    let json = |arguments: &[&str]| -> Value {
        let output = user.pyro(&wrapper, PATH, &[&["--json"], arguments].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
    };
    for arguments in [
        &["run", "--", "true"][..],
        &["workspace", "create", "--no-seed"],
        &["workspace", "create", "--seed-path", "."],
    ] {
        let failure = &json(arguments)["error"];
        assert_eq!(failure["code"], "host_unfit", "{arguments:?}: {failure}");
        assert_eq!(failure["details"]["check"], "user_namespaces", "{failure}");
        assert!(!failure["hint"].as_str().unwrap().is_empty(), "{failure}");
    }
    assert_eq!(json(&["workspace", "list"])["workspaces"], Value::Array(Vec::new()));
    let doctor = json(&["doctor"]);
    assert_eq!(doctor["healthy"], false, "{doctor}");
    let row = check(&doctor, "user_namespaces");
    assert_eq!(row["ok"], false, "{row}");
    assert!(!row["mend"].as_str().unwrap().is_empty(), "{row}");
    let home = user.own(".local/share/pyro");
    for folder in ["workspaces", "tmp"] {
        assert_eq!(fs::read_dir(home.join(folder)).unwrap().count(), 0, "{folder}");
    }
}
