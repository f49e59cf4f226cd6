//! Programs of others, run for a moment: no shell, nothing to read, an end to their patience.

use std::{
    ffi::OsStr,
    io::Read,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

/// Characters that are taken of what a program says.
const MOST_SAID: u64 = 64 << 10;

/// What a program did.
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) text: String,
}

/// Whether it is a file that may be run.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// A child and everything that it starts: ended when this is dropped.
pub(crate) struct Family(pub(crate) Child);

impl Family {
    pub(crate) fn start(command: &mut Command) -> std::io::Result<Self> {
        command.process_group(0).spawn().map(Self)
    }

    fn end(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a program to its end, at most this long, in a directory. None when it could not be
/// started or took too long.
pub(crate) fn run(
    program: &Path,
    arguments: &[String],
    variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    directory: &Path,
    most: Duration,
) -> Option<Said> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(variables)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut family = Family::start(&mut command).ok()?;
    let output = family.0.stdout.take()?;
    let (done, ended) = mpsc::channel();
    // Ends with the pipe, which ends with the family.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = output.take(MOST_SAID).read_to_end(&mut bytes);
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    let text = ended.recv_timeout(most).ok()?;
    // Its output ended: what is left is the end itself.
    let status = family.0.wait().ok()?;
    Some(Said { success: status.success(), text })
}
