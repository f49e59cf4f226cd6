//! A place for workspaces, and what their roots are made of.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use pyro_model::{Bind, WorkspaceId};

use super::{Broken, Session, Verdict};
use crate::{Limits, Machine, MachineSpec, Writable};

/// Where the workspaces of one test lie, on a disk that the machine can use. The root must have
/// `sh` and the usual small programs.
#[derive(Debug)]
pub struct Fixture {
    /// An empty directory of the caller's alone.
    pub home: PathBuf,
    /// Layers of every root.
    pub root_lowers: Vec<PathBuf>,
    /// Binds of every root.
    pub binds: Vec<Bind>,
}

/// One workspace's directory and how it is started.
#[derive(Debug)]
pub struct Workspace {
    /// Change it before `start` for another start.
    pub spec: MachineSpec,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Fixture {
    /// A prepared workspace with small bounds.
    ///
    /// # Errors
    /// The machine cannot prepare it.
    pub fn workspace(&self, machine: &dyn Machine) -> Result<Workspace, Broken> {
        let mut random = NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        random[4..].copy_from_slice(&std::process::id().to_le_bytes());
        let workspace = WorkspaceId::from_random(random);
        let directory = self.home.join(workspace.as_str());
        fs::create_dir(&directory)?;
        machine.prepare(&directory)?;
        let spec = MachineSpec {
            workspace,
            directory,
            hostname: "conformance".to_owned(),
            root_lowers: self.root_lowers.clone(),
            tree_lowers: Vec::new(),
            writable: Writable::Disk,
            binds: self.binds.clone(),
            also_at: None,
            limits: Limits { cpus: 2, memory_mib: 512, disk_mib: None, processes: 200 },
            idle_ttl_s: 600,
            inspect_only: false,
        };
        Ok(Workspace { spec })
    }

    /// A directory of files, as a read-only layer.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn layer(&self, name: &str, files: &[(&str, &str)]) -> Result<PathBuf, Broken> {
        let layer = self.home.join(name);
        fs::create_dir(&layer)?;
        for (file, text) in files {
            let file = layer.join(file);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(file, text)?;
        }
        Ok(layer)
    }
}

impl Workspace {
    /// Starts it, talks with it, and ends it whatever came of that.
    ///
    /// # Errors
    /// What broke in between, or the end.
    pub fn session(
        &self,
        machine: &dyn Machine,
        talk: impl FnOnce(&mut Session) -> Verdict,
    ) -> Verdict {
        for layer in self.spec.root_lowers.iter().chain(&self.spec.tree_lowers) {
            machine.prepare_layer(layer)?;
        }
        let started = machine.start(&self.spec)?;
        let talked = Session::new(started.stream).and_then(|mut session| talk(&mut session));
        let ended = machine.end(self.directory());
        talked?;
        Ok(ended?)
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.spec.directory
    }
}
