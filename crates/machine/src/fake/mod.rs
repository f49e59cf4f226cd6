//! A machine for tests that isolates nothing: the real agent (`pyro-guest plain`) as an ordinary
//! process of the caller, over ordinary directories. Commands run on the host, as the caller.
//!
//! For tests of what is above machines, where no namespaces can be had or needed. Only with the
//! feature `fake`, which no door of the product turns on. What it cannot show: a root of its own
//! (`/` is the host's), absolute paths below `/workspace` in commands, bounds, binds.
//!
//! `/workspace` is one directory, filled from the layers at the first start and marked opaque, so
//! that the agent's walk of the "upper layer" finds every change, deletions too.

mod program;
mod tree;

use std::{
    fs, io,
    io::Read,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            net::{UnixListener, UnixStream},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use pyro_model::{Isolation, MachineKind};
use pyro_protocol::HostMessage;
use rustix::fs::{FlockOperation, flock};

use crate::{
    Capabilities, Enforcement, Guest, Machine, MachineError, MachineSpec, Started, Writable,
};

pub use program::agent_program;

/// How long an agent may take to end everything.
const PATIENCE: Duration = Duration::from_secs(10);

/// The machine.
#[derive(Debug)]
pub struct FakeMachine {
    agent: PathBuf,
    capabilities: Capabilities,
    /// Agents that this process started, to be reaped.
    children: Mutex<Vec<Child>>,
}

impl FakeMachine {
    /// A machine that runs this agent program (`agent_program` finds the workspace's own).
    #[must_use]
    pub fn new(agent: PathBuf) -> Self {
        Self { agent, capabilities: Capabilities::default(), children: Mutex::default() }
    }

    /// Waits until a machine that is about to exit has let go of its lock.
    fn await_lock(&self, directory: &Path) -> Result<(), MachineError> {
        let lock = lock_file(directory)?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|errno| on("lock", directory)(errno.into()))?;
        self.reap();
        Ok(())
    }

    fn reap(&self) {
        if let Ok(mut children) = self.children.lock() {
            children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        }
    }

    fn spawn(
        &self,
        spec: &MachineSpec,
        listener: UnixListener,
        lock: OwnedFd,
    ) -> Result<(), MachineError> {
        let tree = spec.directory.join("tree");
        let mut random = [0; 16];
        fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut random))
            .map_err(on("read", Path::new("/dev/urandom")))?;
        let boot: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let child = Command::new(&self.agent)
            .arg("plain")
            .args([&tree, &spec.directory.join("spool"), &tree])
            .args([boot, spec.idle_ttl_s.to_string()])
            .arg(if spec.inspect_only { "inspect" } else { "work" })
            .args(&spec.tree_lowers)
            .current_dir("/")
            .stdin(OwnedFd::from(listener))
            // Held as long as the agent lives: nobody writes to it.
            .stdout(lock)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(on("start", &self.agent))?;
        if let Ok(mut children) = self.children.lock() {
            children.push(child);
        }
        Ok(())
    }
}

impl Machine for FakeMachine {
    fn kind(&self) -> MachineKind {
        MachineKind::Container
    }

    fn isolation(&self) -> Isolation {
        Isolation::Container
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn prepare(&self, directory: &Path) -> Result<(), MachineError> {
        for name in ["spool", "tree"] {
            let path = directory.join(name);
            fs::create_dir_all(&path).map_err(on("make", &path))?;
        }
        Ok(())
    }

    fn start(&self, spec: &MachineSpec) -> Result<Started, MachineError> {
        self.reap();
        let directory = &spec.directory;
        let Some(lock) = try_lock(directory)? else {
            return Err(MachineError::Busy(directory.clone()));
        };
        let filled = directory.join("filled");
        if spec.writable == Writable::Memory || !filled.exists() {
            tree::fill(&directory.join("tree"), &spec.tree_lowers)?;
            fs::write(&filled, "").map_err(on("write", &filled))?;
        }
        let socket = directory.join("sock");
        match fs::remove_file(&socket) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(on("remove", &socket)(error)),
        }
        let listener = at_socket(directory, UnixListener::bind)?;
        self.spawn(spec, listener, lock)?;
        let stream = at_socket(directory, UnixStream::connect)?;
        let enforcement = ["cpus", "memory_mib", "disk_mib", "processes"]
            .map(|limit| Enforcement { limit, enforced: false, how: "a fake machine".to_owned() });
        Ok(Started { stream, enforcement: enforcement.to_vec(), notices: Vec::new() })
    }

    fn connect(&self, directory: &Path) -> Result<UnixStream, MachineError> {
        if !self.is_running(directory)? {
            return Err(MachineError::NotRunning(directory.to_owned()));
        }
        match at_socket(directory, UnixStream::connect) {
            // It is ending: nobody listens any more, and the lock is free in a moment.
            Err(MachineError::System { source, .. })
                if source.kind() == io::ErrorKind::ConnectionRefused =>
            {
                Err(MachineError::NotRunning(directory.to_owned()))
            }
            result => result,
        }
    }

    fn is_running(&self, directory: &Path) -> Result<bool, MachineError> {
        Ok(try_lock(directory)?.is_none())
    }

    fn end(&self, directory: &Path) -> Result<(), MachineError> {
        let stream = match self.connect(directory) {
            Err(MachineError::NotRunning(_)) => return self.await_lock(directory),
            result => result?,
        };
        let wait = stream.try_clone().map_err(on("copy", directory))?;
        // It may be ending already: then the rest of the conversation fails, as it should.
        if let Ok(mut guest) = Guest::handshake(stream, PATIENCE) {
            let _ = guest.ask(HostMessage::Shutdown, PATIENCE, None);
        }
        wait.set_nonblocking(false)
            .and_then(|()| wait.set_read_timeout(Some(PATIENCE)))
            .map_err(on("wait for", directory))?;
        loop {
            match (&wait).read(&mut [0; 4096]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(on("wait for", directory)(error)),
            }
        }
        // Its connections are closed, so it is about to exit, which frees the lock.
        self.await_lock(directory)
    }

    fn renew(&self, directory: &Path, trash: &Path) -> Result<(), MachineError> {
        fs::create_dir(trash).map_err(on("make", trash))?;
        let tree = directory.join("tree");
        fs::rename(&tree, trash.join("tree")).map_err(on("move", &tree))?;
        let filled = directory.join("filled");
        match fs::remove_file(&filled) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(on("remove", &filled)(error))
            }
            _ => self.prepare(directory),
        }
    }

    fn discard(&self, paths: &[&Path]) -> Result<(), MachineError> {
        let child = Command::new("rm")
            .arg("-rf")
            .arg("--")
            .args(paths)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(on("start", Path::new("rm")))?;
        if let Ok(mut children) = self.children.lock() {
            children.push(child);
        }
        Ok(())
    }
}

/// The lock of a directory, if nobody has it.
fn try_lock(directory: &Path) -> Result<Option<OwnedFd>, MachineError> {
    let file = lock_file(directory)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file.into())),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(on("lock", directory)(errno.into())),
    }
}

fn lock_file(directory: &Path) -> Result<fs::File, MachineError> {
    let path = directory.join("lock");
    let mut options = fs::OpenOptions::new();
    options.create(true).write(true).truncate(false);
    options.open(&path).map_err(on("open", &path))
}

/// Socket addresses are at most 107 bytes long: reached through a handle of the directory.
fn at_socket<T>(
    directory: &Path,
    with: impl FnOnce(PathBuf) -> io::Result<T>,
) -> Result<T, MachineError> {
    let handle = fs::File::open(directory).map_err(on("open", directory))?;
    let path = format!("/proc/self/fd/{}/sock", handle.as_raw_fd());
    with(path.into()).map_err(on("reach the agent in", directory))
}

fn on(step: &'static str, what: &Path) -> impl FnOnce(io::Error) -> MachineError {
    move |source| MachineError::System { step, what: what.display().to_string(), source }
}
