//! For the tests of the microVM: homes over a real Debian, and running a test again as somebody
//! else.
//!
//! What guests boot comes from the environment: `PYRO_TEST_KERNEL` (a kernel's image),
//! `PYRO_TEST_MODULES` (a directory of its modules) and `PYRO_TEST_ROOTFS` (a Debian root). Without
//! them a test says so and counts as skipped; it fails instead when `PYRO_REQUIRED` names
//! `microvm`.
//!
//! Each test has a home of its own. What takes long and is never written (the environment's image,
//! templates, what is known of the host) is linked in from a pool, and new templates are put there.

#![allow(dead_code, reason = "each of the test programs uses another part")]

#[path = "../../../machine-container/tests/support/callers.rs"]
mod callers;
mod pool;

pub(crate) use callers::Who;
use callers::{run_again_as, user};
use pool::Pool;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use pyro_machine::{
    Machine,
    conformance::{Fixture, Session, Verdict},
};
use pyro_machine_microvm::{Kernel, MicrovmHome, MicrovmMachine, Shape};
use pyro_protocol::spool::{EVENTS, decode_records};

/// Modules in the order to load them, where their names do not say it.
const MODULES: [&str; 8] = [
    "virtio_ring",
    "virtio",
    "virtio_mmio",
    "virtio_console",
    "virtio_blk",
    "libcrc32c",
    "erofs",
    "overlay",
];

/// What guests boot.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) kernel: PathBuf,
    pub(crate) modules: PathBuf,
    pub(crate) rootfs: PathBuf,
}

impl Given {
    fn find() -> Option<Self> {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        Some(Self {
            kernel: path("PYRO_TEST_KERNEL")?,
            modules: path("PYRO_TEST_MODULES")?,
            rootfs: path("PYRO_TEST_ROOTFS")?,
        })
    }

    pub(crate) fn kernel(&self) -> Kernel {
        let mut modules: Vec<PathBuf> =
            fs::read_dir(&self.modules).unwrap().map(|entry| entry.unwrap().path()).collect();
        // Those that pyro installed have the order in their names.
        modules.sort();
        if !modules.iter().all(|path| is_numbered(path)) {
            let named = MODULES.iter().map(|name| self.modules.join(format!("{name}.ko")));
            modules = named.filter(|path| path.is_file()).collect();
        }
        Kernel {
            image: self.kernel.clone(),
            modules,
            release: "test".to_owned(),
            // Good enough to tell one from another; the real one is made by whoever installs it.
            digest: format!(
                "{} {}",
                self.kernel.display(),
                fs::metadata(&self.kernel).unwrap().len()
            ),
        }
    }
}

fn is_numbered(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit())
}

/// A machine and a fixture in a folder that goes with the test.
pub(crate) struct Home {
    pub(crate) machine: MicrovmMachine,
    pub(crate) fixture: Fixture,
    pub(crate) given: Given,
    pool: Pool,
    directory: PathBuf,
    _folder: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new(given: Given) -> Self {
        let pool = Pool::open(&given);
        // Not /tmp, which may be in memory.
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let home = folder.path().to_owned();
        let directory = home.join("microvm");
        let guard = pool.lock();
        pool.lend(&directory);
        let places =
            MicrovmHome { directory: directory.clone(), agent_directory: home.join("guest") };
        let machine = MicrovmMachine::new(places, Some(given.kernel())).unwrap();
        machine.prepare_layer(&pool.root()).unwrap();
        // The first of all tests makes the template that most use; the others find it.
        let shape = Shape { environment: pool.root(), cpus: 2, memory_mib: 512, disk_mib: None };
        machine.make_template(&shape, &mut |_| {}, None).unwrap();
        // Those of builds before this one.
        machine.collect(Duration::from_secs(3600)).unwrap();
        pool.take_back(&directory);
        drop(guard);
        let fixture = Fixture { home, root_lowers: vec![pool.root()], binds: Vec::new() };
        Self { machine, fixture, given, pool, directory, _folder: folder }
    }

    /// Another machine over the same home.
    pub(crate) fn again(&self) -> MicrovmMachine {
        let places = MicrovmHome {
            directory: self.directory.clone(),
            agent_directory: self.fixture.home.join("guest"),
        };
        MicrovmMachine::new(places, Some(self.given.kernel())).unwrap()
    }

    /// `<home>/microvm`.
    pub(crate) fn machine_directory(&self) -> &Path {
        &self.directory
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
        // What a failed test left running.
        for entry in fs::read_dir(&self.fixture.home).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b"ws_") {
                if std::thread::panicking() {
                    say_end(&entry.path());
                }
                let _ = self.machine.end(&entry.path());
            }
        }
        let _guard = self.pool.lock();
        self.pool.take_back(&self.directory);
    }
}

/// How the machine of a failed test ended, or that it runs.
fn say_end(directory: &Path) {
    let events = fs::read(directory.join("spool").join(EVENTS)).unwrap_or_default();
    for record in decode_records(&events).0.iter().rev().take(3).rev() {
        let words: String = format!("{record:?}").chars().take(300).collect();
        println!("{}: {words}", directory.display());
    }
}

/// Runs a test with a home, as whoever runs this program.
pub(crate) fn with_home(test: impl FnOnce(&Home)) {
    match Given::find() {
        Some(given) => test(&Home::new(given)),
        None => skip("PYRO_TEST_KERNEL, PYRO_TEST_MODULES and PYRO_TEST_ROOTFS are not set"),
    }
}

/// Runs `test` as `who`; `name` is the test's own full name.
pub(crate) fn run_as(who: Who, name: &str, test: impl FnOnce(&Home)) {
    let Some(given) = Given::find() else { return with_home(test) };
    let root = rustix::process::geteuid().is_root();
    match (who, root) {
        (Who::Root, true) => test(&Home::new(given)),
        (Who::Root, false) => callers::skip(who, "not root"),
        (_, true) => match user(who) {
            Ok(user) => {
                let theirs = pool::copy_for(&user, &given);
                let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
                run_again_as(
                    &user,
                    name,
                    &[
                        ("PYRO_TEST_KERNEL", &text(&theirs.kernel)),
                        ("PYRO_TEST_MODULES", &text(&theirs.modules)),
                        ("PYRO_TEST_ROOTFS", &text(&theirs.rootfs)),
                    ],
                );
            }
            Err(why) => callers::skip(who, &why),
        },
        (_, false) => {
            let name = std::env::var("USER").unwrap_or_default();
            let id = rustix::process::getuid().as_raw().to_string();
            let lines = fs::read_to_string("/etc/subuid").unwrap_or_default();
            let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let name = passwd
                .lines()
                .find(|line| line.split(':').nth(2) == Some(&id))
                .and_then(|line| line.split(':').next())
                .unwrap_or(&name);
            let many = lines.lines().any(|line| line.starts_with(&format!("{name}:")));
            if many == (who == Who::Many) {
                test(&Home::new(given));
            } else {
                callers::skip(who, "this user is not of that kind");
            }
        }
    }
}

/// Not run: says why, and fails where it must run.
pub(crate) fn skip(why: &str) {
    let required = std::env::var("PYRO_REQUIRED").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == "microvm"), "must run, but: {why}");
    println!("skipped in a microVM: {why}");
}
