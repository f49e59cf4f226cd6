//! Running the host's `git` on untrusted repositories.
//!
//! Nothing of the user's or the repository's configuration is in force: the environment is
//! cleared, system and global files are shut off, and every option that could start a program
//! is set from here. Callers hand a git directory of our own making. Output is bounded and each
//! run has a deadline, since a named pipe in the place of a `.gitignore` holds git for ever.
//! The wait is one `poll` on the pipes and the process, without intervals.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::SeedError;

/// Most bytes of a listing that are taken from git.
const STDOUT_MOST: usize = 1 << 30;
/// Most bytes of git's complaints that are kept.
const STDERR_MOST: usize = 64 << 10;

/// Options that hold for every run, whatever a config file says.
const ALWAYS: &[&str] = &[
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.pager=cat",
    "core.sshCommand=false",
    "core.askPass=false",
    "core.editor=false",
    "core.commitGraph=false",
    "credential.helper=",
    "diff.external=",
    "submodule.recurse=false",
    "status.submoduleSummary=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "safe.directory=*",
    "advice.detachedHead=false",
];

/// The host's git, made harmless.
#[derive(Debug, Clone)]
pub(crate) struct HostGit {
    program: PathBuf,
    /// An empty directory that stands for home and the working directory.
    scratch: PathBuf,
    deadline: Duration,
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Finished {
    /// The last lines of git's complaints, short enough for a failure message.
    pub(crate) fn complaint(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(4)..].join("; ");
        let clean: String = last.chars().filter(|letter| !letter.is_control()).collect();
        let start = clean.char_indices().rev().nth(599).map_or(0, |(at, _)| at);
        if clean.is_empty() {
            format!("git ended with {}", self.status)
        } else {
            clean[start..].into()
        }
    }
}

impl HostGit {
    /// Finds git on the search path.
    pub(crate) fn find(scratch: &Path, deadline: Duration) -> Result<Self, SeedError> {
        let search = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        let program = std::env::split_paths(&search)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join("git"))
            .find(|candidate| candidate.is_file());
        match program {
            Some(program) => Ok(Self { program, scratch: scratch.to_owned(), deadline }),
            None => Err(SeedError::Unsupported {
                what: "a Git repository".into(),
                why: "git is not installed on this host; install git, or seed a tar archive".into(),
            }),
        }
    }

    /// The same git with more patience, for clones.
    pub(crate) fn patient(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// A file name in the scratch directory.
    pub(crate) fn scratch_file(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// A command with the closed environment and the options that always hold.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().current_dir(&self.scratch);
        let fixed: [(&str, &OsStr); 16] = [
            ("PATH", OsStr::new("/usr/local/bin:/usr/bin:/bin")),
            ("HOME", self.scratch.as_os_str()),
            ("XDG_CONFIG_HOME", self.scratch.as_os_str()),
            ("LC_ALL", OsStr::new("C")),
            ("GIT_CONFIG_NOSYSTEM", OsStr::new("1")),
            ("GIT_CONFIG_SYSTEM", OsStr::new("/dev/null")),
            ("GIT_CONFIG_GLOBAL", OsStr::new("/dev/null")),
            ("GIT_ATTR_NOSYSTEM", OsStr::new("1")),
            ("GIT_TERMINAL_PROMPT", OsStr::new("0")),
            ("GIT_OPTIONAL_LOCKS", OsStr::new("0")),
            ("GIT_ASKPASS", OsStr::new("false")),
            ("GIT_SSH_COMMAND", OsStr::new("false")),
            ("GIT_ALLOW_PROTOCOL", OsStr::new("")),
            ("GIT_NO_LAZY_FETCH", OsStr::new("1")),
            ("GIT_LFS_SKIP_SMUDGE", OsStr::new("1")),
            ("GIT_LITERAL_PATHSPECS", OsStr::new("1")),
        ];
        command.envs(fixed);
        for option in ALWAYS {
            command.arg("-c").arg(option);
        }
        command
    }

    /// A command on a git directory of our own making.
    pub(crate) fn in_git_dir(&self, git_dir: &Path, work_tree: Option<&Path>) -> Command {
        let mut command = self.command();
        let mut option = OsString::from("--git-dir=");
        option.push(git_dir);
        command.arg(option);
        if let Some(work_tree) = work_tree {
            let mut option = OsString::from("--work-tree=");
            option.push(work_tree);
            command.arg(option);
        }
        command
    }

    /// Runs to the end, or to the deadline.
    pub(crate) fn run(&self, what: &str, mut command: Command) -> Result<Finished, SeedError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        let fail = |source: std::io::Error| SeedError::io("run", &self.program, source);
        let mut child = command.spawn().map_err(fail)?;
        let collected = self.collect(what, &mut child);
        if collected.is_err() {
            // The whole group: a clone has children of its own.
            if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        let status = child.wait().map_err(fail)?;
        let (stdout, stderr) = collected?;
        Ok(Finished { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
    }

    /// Runs and takes a non-zero end as a failure of the source.
    pub(crate) fn run_ok(&self, what: &str, command: Command) -> Result<Finished, SeedError> {
        let finished = self.run(what, command)?;
        if finished.status.success() {
            return Ok(finished);
        }
        Err(SeedError::failed(what, finished.complaint()))
    }

    fn collect(&self, what: &str, child: &mut Child) -> Result<(Vec<u8>, Vec<u8>), SeedError> {
        let fail = |source: std::io::Error| SeedError::io("run", &self.program, source);
        let missing = || SeedError::failed(what, "git gave no output pipe");
        let mut out = child.stdout.take().ok_or_else(missing)?;
        let mut err = child.stderr.take().ok_or_else(missing)?;
        for pipe in [out.as_fd(), err.as_fd()] {
            rustix::io::ioctl_fionbio(pipe, true).map_err(|errno| fail(errno.into()))?;
        }
        let pid = Pid::from_raw(child.id().cast_signed()).ok_or_else(missing)?;
        let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| fail(errno.into()))?;
        let limit = Instant::now() + self.deadline;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (mut out_open, mut err_open) = (true, true);
        loop {
            let left = limit.saturating_duration_since(Instant::now());
            let mut waits = vec![PollFd::new(&ended, PollFlags::IN)];
            for (open, pipe) in [(out_open, out.as_fd()), (err_open, err.as_fd())] {
                if open {
                    waits.push(PollFd::from_borrowed_fd(pipe, PollFlags::IN));
                }
            }
            let timeout = Timespec::try_from(left).ok();
            match poll(&mut waits, timeout.as_ref()) {
                Ok(0) => {
                    let after_s = self.deadline.as_secs();
                    return Err(SeedError::Deadline { what: what.into(), after_s });
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(fail(errno.into())),
            }
            let over = !waits[0].revents().is_empty();
            drop(waits);
            out_open = out_open && drain(&mut out, &mut stdout, STDOUT_MOST).map_err(fail)?;
            err_open = err_open && drain(&mut err, &mut stderr, usize::MAX).map_err(fail)?;
            if stderr.len() > STDERR_MOST {
                stderr.drain(..stderr.len() - STDERR_MOST);
            }
            if stdout.len() > STDOUT_MOST {
                let limit = format!("{STDOUT_MOST} bytes of listing");
                return Err(SeedError::TooLarge { what: what.into(), limit });
            }
            if over || !(out_open || err_open) {
                return Ok((stdout, stderr));
            }
        }
    }
}

/// Takes what a pipe holds now; false once it is closed.
fn drain(pipe: &mut impl Read, into: &mut Vec<u8>, most: usize) -> std::io::Result<bool> {
    let mut chunk = [0; 64 << 10];
    loop {
        match pipe.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(count) => into.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if into.len() > most {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(deadline: Duration) -> (tempfile::TempDir, HostGit) {
        let dir = tempfile::tempdir().unwrap();
        let git = HostGit::find(dir.path(), deadline).unwrap();
        (dir, git)
    }

    #[test]
    fn the_environment_is_closed_and_output_comes_back() {
        let (_dir, git) = git(Duration::from_secs(20));
        let mut command = git.command();
        command.args(["config", "--list", "--show-origin"]);
        let finished = git.run_ok("list", command).unwrap();
        let text = String::from_utf8(finished.stdout).unwrap();
        assert!(text.lines().all(|line| line.starts_with("command line:")), "{text}");
        assert!(text.contains("core.fsmonitor=false"));
    }

    #[test]
    fn a_run_that_never_ends_is_ended() {
        let (dir, git) = git(Duration::from_millis(300));
        let pipe = dir.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        let mut command = git.command();
        command.args(["hash-object"]).arg(&pipe);
        let started = Instant::now();
        assert!(matches!(git.run("hash", command), Err(SeedError::Deadline { .. })));
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_failure_brings_the_last_complaint() {
        let (_dir, git) = git(Duration::from_secs(20));
        let mut command = git.command();
        command.args(["cat-file", "-p", "nonsense"]);
        let error = git.run_ok("x", command).unwrap_err();
        assert_eq!(error.code(), "source_failed");
        assert!(error.to_string().contains("fatal"), "{error}");
    }
}
