//! What all rows share: the candidates, the projects, and how often to measure.

use std::{cell::OnceCell, path::PathBuf};

use crate::{error::Result, peers::Podman, projects::Project, pyro::Pyro, row::Rounds};

/// The harness, with what has been made so far.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) pyro: Pyro,
    /// The program itself.
    pub(crate) program: PathBuf,
    /// A folder that is kept from run to run.
    pub(crate) cache: PathBuf,
    pub(crate) quick: bool,
    podman: OnceCell<Podman>,
    small: OnceCell<Project>,
    large: OnceCell<Project>,
}

impl Bench {
    /// With a fresh home of pyro.
    pub(crate) fn new(program: PathBuf, cache: PathBuf, quick: bool) -> Result<Self> {
        let pyro = Pyro::fresh(&program, &cache.join("pyro"))?;
        Ok(Self {
            pyro,
            program,
            cache,
            quick,
            podman: OnceCell::new(),
            small: OnceCell::new(),
            large: OnceCell::new(),
        })
    }

    /// How often a row is measured.
    pub(crate) fn rounds(&self, counted: usize) -> Rounds {
        if self.quick {
            return Rounds { warm_up: 1, counted: counted.clamp(1, 3) };
        }
        Rounds { warm_up: (counted / 10).clamp(1, 5), counted }
    }

    /// podman, for root only: rootless it is another product.
    pub(crate) fn podman(&self) -> Result<Option<&Podman>> {
        if !is_root() {
            return Ok(None);
        }
        made_once(&self.podman, Podman::fresh).map(Some)
    }

    /// The small project.
    pub(crate) fn small(&self) -> Result<&Project> {
        made_once(&self.small, || Project::small(&self.cache))
    }

    /// The project of 100,000 files.
    pub(crate) fn large(&self) -> Result<&Project> {
        made_once(&self.large, || Project::large(&self.cache))
    }
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn made_once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(made) => Ok(made),
        None => {
            let made = make()?;
            Ok(cell.get_or_init(|| made))
        }
    }
}
