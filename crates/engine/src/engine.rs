//! The engine over one home: its store and its machines, opened only as far as a call needs them.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyro_environment::Cache;
use pyro_machine::Machine;
use pyro_machine_container::ContainerMachine;
use pyro_model::MachineKind;
use pyro_operations::Failure;
use pyro_store::{Layout, Store};

use crate::{Settings, environment::MappedUnpacker, failure::OrFail, microvm::Built};

/// pyro's engine over one home. Cheap to open; any number of processes may have one open.
pub struct Engine {
    settings: Settings,
    layout: Layout,
    store: Mutex<Store>,
    container: OnceLock<Arc<ContainerMachine>>,
    pub(crate) microvm: Mutex<Option<Built>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("home", &self.settings.home).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the home, making it on first use.
    ///
    /// # Errors
    /// `host_unfit` or `store_damaged`, when the home cannot be used.
    pub fn open(settings: Settings) -> Result<Self, Failure> {
        let layout = Layout::new(settings.home.clone());
        let store = Store::open(layout.clone()).or_fail()?;
        Ok(Self {
            settings,
            layout,
            store: Mutex::new(store),
            container: OnceLock::new(),
            microvm: Mutex::new(None),
        })
    }

    /// Where it keeps its files, and what the user configured.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Every path of the home.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The store, for a short moment: never held across a wait for a guest.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        // Each use is one transaction: a panic in another thread leaves nothing half done.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container machine of this host.
    pub(crate) fn container(&self) -> Result<Arc<ContainerMachine>, Failure> {
        if let Some(machine) = self.container.get() {
            return Ok(Arc::clone(machine));
        }
        let machine = Arc::new(ContainerMachine::new(&self.layout.guest()).or_fail()?);
        Ok(Arc::clone(self.container.get_or_init(|| machine)))
    }

    /// The machine of this kind.
    pub(crate) fn machine(&self, kind: MachineKind) -> Result<Arc<dyn Machine>, Failure> {
        match kind {
            MachineKind::Container => Ok(self.container()?),
            MachineKind::Microvm => Ok(self.any_microvm()?),
        }
    }

    /// The environments of this home.
    pub(crate) fn environments(&self) -> Result<Cache, Failure> {
        let unpacker = MappedUnpacker::of(self.container()?);
        Cache::open(self.layout.environments(), self.layout.trash(), unpacker).or_fail()
    }
}
