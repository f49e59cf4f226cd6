//! What pyro is compared with: `true`, `bwrap` and podman with runc.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{About, Result},
    program::Program,
};

const IMAGE: &str = "localhost/pyro-bench:latest";
/// Programs of the image.
const PROGRAMS: [&str; 2] = ["/bin/true", "/bin/sleep"];

/// The floor: fork, exec, exit.
pub(crate) fn bare_true() -> Program {
    Program::new(["/bin/true"])
}

/// All namespaces over the host's own root.
pub(crate) fn bwrap() -> Program {
    Program::new([
        "bwrap",
        "--unshare-all",
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--tmpfs",
        "/tmp",
        "/bin/true",
    ])
}

/// podman with runc over storage of the harness's own.
#[derive(Debug)]
pub(crate) struct Podman {
    /// Fresh for each run, since podman refuses storage that another state was used with; its path
    /// must be short.
    state: PathBuf,
}

impl Podman {
    /// Imports the image: `true` and `sleep` with their libraries.
    pub(crate) fn fresh() -> Result<Self> {
        let state = std::env::temp_dir().join(format!("pyro-bench-{}", std::process::id()));
        fs::create_dir_all(&state).about(&state)?;
        let podman = Self { state };
        let archive = podman.state.join("root.tar");
        let root = podman.state.join("root");
        for folder in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).about(&path)?;
        }
        for program in PROGRAMS {
            for file in files_of(program)? {
                let to = root.join(file.trim_start_matches('/'));
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent).about(parent)?;
                }
                fs::copy(&file, &to).about(Path::new(&file))?;
            }
        }
        let (archive, root) = (archive.to_string_lossy(), root.to_string_lossy());
        Program::new(["tar", "-C", &root, "-cf", &archive, "."]).time()?;
        podman.call(&["import", &archive, IMAGE]).time()?;
        Ok(podman)
    }

    fn call(&self, words: &[&str]) -> Program {
        Program::new([
            "podman".into(),
            "--root".into(),
            self.state.join("storage").to_string_lossy(),
            "--runroot".into(),
            self.state.join("state").to_string_lossy(),
            "--storage-driver".into(),
            "overlay".into(),
            "--runtime".into(),
            "runc".into(),
            "--cgroup-manager=cgroupfs".into(),
        ])
        .with(words.iter().copied())
    }

    fn running(&self, options: &[&str]) -> Program {
        // Its own limits are above what root may have on some machines, and runc then fails.
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
        self.call(&["run", "--rm", "--network", "none"]).with(limits).with(options.iter().copied())
    }

    /// One command in a fresh container.
    pub(crate) fn run_true(&self) -> Program {
        self.running(&[IMAGE, "/bin/true"])
    }

    /// Starts a container that stays; the command that removes it is `removal`.
    pub(crate) fn start(&self, name: &str) -> Program {
        self.running(&["--detach", "--name", name, IMAGE, "/bin/sleep", "86400"])
    }

    /// One command in it.
    pub(crate) fn exec_true(&self, name: &str) -> Program {
        self.call(&["exec", name, "/bin/true"])
    }

    /// Ends it at once and removes it.
    pub(crate) fn removal(&self, name: &str) -> Program {
        self.call(&["rm", "--force", "--time", "0", name])
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.call(&["rm", "--all", "--force", "--time", "0"]).time();
        // podman mounts this folder over itself.
        let mounted = self.state.join("storage").join("overlay");
        let _ = Program::new(["umount".into(), mounted.to_string_lossy()]).time();
        let _ = fs::remove_dir_all(&self.state);
    }
}

/// A program and the libraries that it loads.
fn files_of(program: &str) -> Result<Vec<String>> {
    let listed = Program::new(["ldd", program]).output()?;
    let mut files: Vec<String> =
        listed.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect();
    files.push(program.to_owned());
    Ok(files)
}
