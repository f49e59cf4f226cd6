//! Work on trees that belong to the guest's ids.
//!
//! Root does it directly. An ordinary user does it in a helper process inside a user namespace of
//! the same map as the machines', where those ids are its own; without a range of ids everything
//! is the user's, and it is done directly again.

use std::{fs::File, path::Path, sync::Arc};

use pyro_environment::{Done, InProcess, StoredOwnership, Unpacker, Work, unpack::UnpackError};
use pyro_machine_container::{ContainerMachine, Ids};

use crate::helper;

/// Works on trees as the machines' ids require.
pub(crate) enum MappedUnpacker {
    /// With the rights of this process.
    Direct(InProcess),
    /// In a helper process inside the map.
    Helper(Arc<ContainerMachine>, StoredOwnership),
}

impl MappedUnpacker {
    /// The one that fits the container machine's ids.
    pub(crate) fn of(machine: Arc<ContainerMachine>) -> Arc<dyn Unpacker> {
        Arc::new(match machine.ids() {
            Ids::Root { .. } => Self::Direct(InProcess::new()),
            Ids::One { .. } => Self::Direct(InProcess::single()),
            Ids::Many { users, groups, .. } => {
                let ownership =
                    StoredOwnership::Mapped { subuid_base: users.first, subgid_base: groups.first };
                Self::Helper(machine, ownership)
            }
        })
    }
}

impl Unpacker for MappedUnpacker {
    fn ownership(&self) -> StoredOwnership {
        match self {
            Self::Direct(direct) => direct.ownership(),
            Self::Helper(_, ownership) => *ownership,
        }
    }

    fn perform(
        &self,
        work: &Work,
        target: &Path,
        archive: Option<File>,
    ) -> Result<Done, UnpackError> {
        match self {
            Self::Direct(direct) => direct.perform(work, target, archive),
            Self::Helper(machine, _) => helper::perform_in_map(machine, work, target, archive),
        }
    }
}
