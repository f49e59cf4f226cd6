//! Nothing stays behind, whichever process is killed and whichever step of a start fails.

use std::{fs, path::Path, time::Duration};

use pyro_machine::{Machine, conformance::Session};
use pyro_sys::process::{Identity, kill, wait_readable};

use crate::support::Home;

/// The identities and cgroups that the holder of the lock wrote down.
fn signed(directory: &Path) -> (Vec<Identity>, Vec<String>) {
    let text = fs::read_to_string(directory.join("lock")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let identity = |line: &str| {
        let (pid, started) = line.split_once(' ').unwrap();
        Identity { pid: pid.parse().unwrap(), started: started.parse().unwrap() }
    };
    let processes = lines[..2].iter().map(|line| identity(line)).collect();
    (processes, lines[2..].iter().map(|line| (*line).to_owned()).collect())
}

fn kill_and_look(home: &Home, which: usize) {
    let workspace = home.fixture.workspace(&home.machine).unwrap();
    let directory = workspace.directory();
    let started = home.machine.start(&workspace.spec).unwrap();
    let mut session = Session::new(started.stream).unwrap();
    session.begin("setsid sleep 1000 & sleep 1000").unwrap();
    let (processes, cgroups) = signed(directory);
    let handles: Vec<_> =
        processes.iter().map(|process| process.open().unwrap().unwrap()).collect();
    kill(&handles[which]).unwrap();
    home.machine.end(directory).unwrap();
    assert!(!home.machine.is_running(directory).unwrap());
    all_end(&processes);
    for cgroup in cgroups {
        assert!(!Path::new(&cgroup).exists(), "{cgroup} is left");
    }
    assert!(session.run("true").is_err());
    // The mounts were the namespace's own.
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*directory.to_string_lossy()), "a mount is left");
    // And the directory is good for another machine.
    workspace.session(&home.machine, |session| session.must("true").map(|_| ())).unwrap();
}

/// They are gone, or on their way out: nothing keeps them.
fn all_end(processes: &[Identity]) {
    for process in processes {
        if let Some(handle) = process.open().unwrap() {
            let ended = wait_readable(&handle, Some(Duration::from_secs(2))).unwrap();
            assert!(ended, "{process:?} lives");
        }
    }
}

/// The holder outside is killed: everything inside ends with it.
pub(crate) fn killed_launcher(home: &Home) {
    kill_and_look(home, 0);
}

/// The agent is killed: the holder cleans up.
pub(crate) fn killed_agent(home: &Home) {
    kill_and_look(home, 1);
}

/// A start that fails inside leaves the lock free and nothing running.
pub(crate) fn failed_start(home: &Home) {
    let mut workspace = home.fixture.workspace(&home.machine).unwrap();
    let root = home.fixture.layer("broken", &[("usr", "a file where a directory is bound\n")]);
    workspace.spec.root_lowers = vec![root.unwrap()];
    let error = home.machine.start(&workspace.spec).unwrap_err();
    assert!(error.to_string().contains("/usr"), "{error}");
    assert!(!home.machine.is_running(workspace.directory()).unwrap());
    let (processes, cgroups) = signed(workspace.directory());
    all_end(&processes);
    for cgroup in cgroups {
        assert!(!Path::new(&cgroup).exists(), "{cgroup} is left");
    }
    workspace.spec.root_lowers = vec![home.fixture.home.join("no such layer")];
    assert!(home.machine.start(&workspace.spec).is_err());
    workspace.spec.root_lowers.clone_from(&home.fixture.root_lowers);
    workspace.session(&home.machine, |session| session.must("true").map(|_| ())).unwrap();
}
