//! For the tests of the container: homes on disk over the host's `/usr`, and running a test again
//! as somebody else.
//!
//! Each guarantee is tested three times: as root, as an ordinary user with sub-ids (`many`), and
//! as one without (`one`). Started by root, the latter two run this same test program again as
//! users that are made for it. What cannot run says why and counts as skipped; it fails instead
//! when `PYRO_REQUIRED` names it (`root,many,one`).

#![allow(dead_code, reason = "each of the test programs uses another part")]

mod callers;

pub(crate) use callers::Who;
use callers::{run_again_as, skip, user};

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use pyro_machine::{
    Machine,
    conformance::{Fixture, Session, Verdict},
};
use pyro_machine_container::{ContainerMachine, Ids};
use pyro_model::{Bind, BindMode};

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
            Ok(user) => run_again_as(&user, name, &[]),
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
