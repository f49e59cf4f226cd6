//! For the tests of the container: homes on disk over the host's `/usr`, and running a test again
//! as somebody else.
//!
//! Each guarantee is tested three times: as root, as an ordinary user with sub-ids (`many`), and
//! as one without (`one`). Started by root, the latter two run this same test program again as
//! users that are made for it. What cannot run says why and counts as skipped; it fails instead
//! when `PYRO_REQUIRED` names it (`root,many,one`).

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use pyro_machine::{
    Machine,
    conformance::{Fixture, Session, Verdict},
};
use pyro_machine_container::{ContainerMachine, Ids};
use pyro_model::{Bind, BindMode};

/// Who runs a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Root,
    Many,
    One,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Many => "many",
            Self::One => "one",
        }
    }
}

/// A machine and a fixture in a folder that goes with the test.
pub(crate) struct Home {
    pub(crate) machine: ContainerMachine,
    pub(crate) fixture: Fixture,
    _folder: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        // Not /tmp, which may be in memory.
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let home = folder.path().to_owned();
        let root = home.join("skeleton");
        fs::create_dir(&root).unwrap();
        for name in ["bin", "lib", "lib32", "lib64", "sbin"] {
            let target = format!("usr/{name}");
            if Path::new("/").join(&target).exists() {
                symlink(&target, root.join(name)).unwrap();
            }
        }
        for name in ["etc", "home", "root", "tmp", "usr", "var/log", "var/tmp", "workspace"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in ["tmp", "var/tmp"] {
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o1777)).unwrap();
        }
        let passwd = "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n";
        fs::write(root.join("etc/passwd"), passwd).unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\ntty:x:5:\nuser:x:1000:\n").unwrap();
        let bind = |path: &str| Bind {
            source: path.into(),
            target: path.into(),
            mode: BindMode::ReadOnly,
        };
        let binds = ["/usr", "/etc/alternatives"].iter().filter(|path| Path::new(path).is_dir());
        Self {
            machine: ContainerMachine::new(&home.join("guest")).unwrap(),
            fixture: Fixture {
                binds: binds.map(|path| bind(path)).collect(),
                root_lowers: vec![root],
                home,
            },
            _folder: folder,
        }
    }

    /// Talks with a fresh machine, and ends it.
    pub(crate) fn session(&self, talk: impl FnOnce(&mut Session)) {
        let workspace = self.fixture.workspace(&self.machine).unwrap();
        let talked: Verdict = workspace.session(&self.machine, |session| {
            talk(session);
            Ok(())
        });
        talked.unwrap();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What a failed test left behind, and files of the guest's ids, are the machine's to remove.
        let Ok(entries) = fs::read_dir(&self.fixture.home) else { return };
        let mut left = Vec::new();
        for entry in entries.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b"ws_") {
                let _ = self.machine.end(&entry.path());
                left.push(entry.path());
            }
        }
        let left: Vec<&Path> = left.iter().map(|path| path.as_path()).collect();
        let mut arguments = vec![std::ffi::OsStr::new("-rf")];
        arguments.extend(left.iter().map(|path| path.as_os_str()));
        let streams = pyro_machine_container::Streams {
            stdin: std::process::Stdio::null(),
            stdout: std::process::Stdio::null(),
            stderr: std::process::Stdio::null(),
        };
        let rm = std::ffi::OsStr::new("/bin/rm");
        if let Ok(mut child) = self.machine.run_mapped(rm, &arguments, streams) {
            let _ = child.wait();
        }
    }
}

/// Runs `test` as `who`; `name` is the test's own full name.
pub(crate) fn run_as(who: Who, name: &str, test: impl FnOnce(&Home)) {
    let root = rustix::process::geteuid().is_root();
    match (who, root) {
        (Who::Root, true) => test(&Home::new()),
        (Who::Root, false) => skip(who, "not root"),
        (_, true) => match user(who) {
            Ok(user) => run_again_as(&user, name),
            Err(why) => skip(who, &why),
        },
        (_, false) => {
            let home = Home::new();
            let one = matches!(home.machine.ids(), Ids::One { .. });
            if one == (who == Who::One) {
                test(&home);
            } else {
                skip(who, "this user is not of that kind");
            }
        }
    }
}

/// Not run: says why, and fails where it must run.
pub(crate) fn skip(who: Who, why: &str) {
    let required = std::env::var("PYRO_REQUIRED").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == who.name()), "must run, but: {why}");
    println!("skipped as {}: {why}", who.name());
}

/// A user of that kind, made when missing.
fn user(who: Who) -> Result<String, String> {
    // One maker at a time: the tests of one program run side by side, and so may programs.
    let guard =
        fs::File::create("/var/tmp/pyro-test-users.lock").map_err(|error| error.to_string())?;
    rustix::fs::flock(&guard, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|error| error.to_string())?;
    let name = format!("pyro-test-{}", who.name());
    if !done("id", &[&name]) && !done("useradd", &["--no-create-home", "--shell", "/bin/sh", &name])
    {
        return Err("useradd cannot make a user".to_owned());
    }
    let lines = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let own = lines.lines().find(|line| line.starts_with(&format!("{name}:")));
    let changed = match (who, own) {
        (Who::Many, None) => {
            let range = "1300000000-1300065535";
            done("usermod", &["--add-subuids", range, "--add-subgids", range, &name])
        }
        (Who::One, Some(line)) => {
            let numbers: Vec<u32> = line.split(':').skip(1).flat_map(str::parse).collect();
            let range = format!("{}-{}", numbers[0], numbers[0] + numbers[1] - 1);
            done("usermod", &["--del-subuids", &range, "--del-subgids", &range, &name])
        }
        _ => true,
    };
    if changed { Ok(name) } else { Err("usermod cannot change sub-ids".to_owned()) }
}

fn done(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

fn run_again_as(user: &str, name: &str) {
    // The build's folder may be closed to others.
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("test");
    // By another process: this one's threads start programs all the time, and each holds a copy
    // of every open descriptor for a moment, which would keep the new file from being run.
    let copy = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
    assert!(copy.unwrap().success());
    let output = Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--init-groups", "--"])
        .arg(&program)
        .args(["--exact", name, "--nocapture"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PYRO_REQUIRED", std::env::var("PYRO_REQUIRED").unwrap_or_default())
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    assert!(
        output.status.success() && said.contains("1 passed"),
        "as {user}:\n{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The same test for each kind of caller.
macro_rules! for_everybody {
    ($($test:ident),+ $(,)?) => {
        mod root {
            $(#[test] fn $test() {
                $crate::support::run_as($crate::support::Who::Root, concat!("root::", stringify!($test)), super::$test);
            })+
        }
        mod many {
            $(#[test] fn $test() {
                $crate::support::run_as($crate::support::Who::Many, concat!("many::", stringify!($test)), super::$test);
            })+
        }
        mod one {
            $(#[test] fn $test() {
                $crate::support::run_as($crate::support::Who::One, concat!("one::", stringify!($test)), super::$test);
            })+
        }
    };
}
pub(crate) use for_everybody;
