//! Kinds of caller that a machine is tested as, and running a test of this program again as one of
//! them. The microVM's tests use this file too.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

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

/// Not run: says why, and fails where it must run.
pub(crate) fn skip(who: Who, why: &str) {
    let required = std::env::var("PYRO_REQUIRED").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == who.name()), "must run, but: {why}");
    println!("skipped as {}: {why}", who.name());
}

/// A user of that kind, made when missing.
pub(crate) fn user(who: Who) -> Result<String, String> {
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

/// Runs one test of this program again, as that user, with these settings.
pub(crate) fn run_again_as(user: &str, name: &str, environment: &[(&str, &str)]) {
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
        .envs(environment.iter().copied())
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
