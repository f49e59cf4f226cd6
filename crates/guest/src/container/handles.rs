//! Every host path of a launch, opened by C while it still has the caller's rights and is already
//! in its own mount namespace. After this no host path is named again.

use std::{os::fd::OwnedFd, path::Path};

use pyro_model::BindMode;
use pyro_protocol::launch::{LaunchSpec, Layers, Upper};
use pyro_sys::{Result, mount::open_handle};

use super::devices::DEVICES;

/// All of them.
pub(super) struct Handles {
    pub(super) root: LayerHandles,
    pub(super) tree: LayerHandles,
    /// One for each bind, in order.
    pub(super) binds: Vec<OwnedFd>,
    /// One for each of `DEVICES`.
    pub(super) devices: Vec<OwnedFd>,
    pub(super) spool: OwnedFd,
    /// The host's `/dev`, on which mounts are parked until the old root is let go. Not `/`: what
    /// is mounted on top of that would be let go in its stead.
    pub(super) parking: OwnedFd,
}

/// One overlay's.
pub(crate) struct LayerHandles {
    /// Top first.
    pub(crate) lowers: Vec<OwnedFd>,
    pub(crate) upper: UpperHandle,
}

/// Where changes go.
pub(crate) enum UpperHandle {
    /// A directory that has `upper` and `work`.
    Directory(OwnedFd),
    /// Memory of at most this many bytes.
    Memory(u64),
}

impl Handles {
    /// Opens them. Read-only layers that come from pyro as idmapped mounts are left out.
    ///
    /// # Errors
    /// One is not there or not to be reached by the caller.
    pub(super) fn open(spec: &LaunchSpec) -> Result<Self> {
        let binds = spec.binds.iter().filter(|bind| !mapped_by_pyro(spec, bind.mode));
        Ok(Self {
            root: layers(&spec.root, spec.idmapped)?,
            tree: layers(&spec.tree, spec.idmapped)?,
            binds: binds.map(|bind| open_handle(&bind.source)).collect::<Result<_>>()?,
            devices: DEVICES
                .iter()
                .map(|name| open_handle(&Path::new("/dev").join(name)))
                .collect::<Result<_>>()?,
            spool: open_handle(&spec.directory.join("spool"))?,
            parking: open_handle(Path::new("/dev"))?,
        })
    }

    /// Puts pyro's idmapped mounts where the handles are missing, in the order of the launch.
    pub(super) fn complete(&mut self, spec: &LaunchSpec, mapped: Vec<OwnedFd>) -> bool {
        if !spec.idmapped {
            return mapped.is_empty();
        }
        let mut mapped = mapped.into_iter();
        self.root.lowers = mapped.by_ref().take(spec.root.lowers.len()).collect();
        self.tree.lowers = mapped.by_ref().take(spec.tree.lowers.len()).collect();
        let opened = std::mem::take(&mut self.binds);
        let mut opened = opened.into_iter();
        for bind in &spec.binds {
            let next = if mapped_by_pyro(spec, bind.mode) { mapped.next() } else { opened.next() };
            self.binds.extend(next);
        }
        self.root.lowers.len() == spec.root.lowers.len()
            && self.tree.lowers.len() == spec.tree.lowers.len()
            && self.binds.len() == spec.binds.len()
            && mapped.next().is_none()
    }
}

fn mapped_by_pyro(spec: &LaunchSpec, mode: BindMode) -> bool {
    spec.idmapped && mode == BindMode::Overlay
}

fn layers(layers: &Layers, mapped: bool) -> Result<LayerHandles> {
    let lowers = if mapped { &[][..] } else { &layers.lowers };
    Ok(LayerHandles {
        lowers: lowers.iter().map(|path| open_handle(path)).collect::<Result<_>>()?,
        upper: match &layers.upper {
            Upper::Directory(path) => UpperHandle::Directory(open_handle(path)?),
            Upper::Memory { bytes } => UpperHandle::Memory(*bytes),
        },
    })
}
