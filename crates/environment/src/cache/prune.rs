//! Removing what no workspace uses.

use std::fs::File;

use super::Cache;
use crate::crash;
use crate::digest::Digest;
use crate::error::{EnvironmentError, Result};
use crate::name::EnvironmentName;

/// One removed tree.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PrunedTree {
    /// Its digest.
    pub digest: Digest,
    /// The names that meant it.
    pub names: Vec<EnvironmentName>,
    /// Bytes of its files, 0 where its manifest could not be read.
    pub bytes: u64,
}

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pruned {
    /// Moved to the trash.
    pub removed: Vec<PrunedTree>,
    /// Left, since something uses them.
    pub kept: Vec<Digest>,
    /// Leftovers of killed builds moved to the trash.
    pub leftovers: u64,
}

impl Cache {
    /// Moves every tree to the trash that is neither `in_use` nor leased at this moment, and
    /// forgets the names that meant it.
    pub fn prune(&self, in_use: &dyn Fn(&Digest) -> bool) -> Result<Pruned> {
        let entries = self.lock_entries()?;
        let mut pruned = Pruned { leftovers: super::build::sweep(self)?, ..Pruned::default() };
        let pointers = self.pointers()?;
        for digest in self.trees()? {
            let place = self.tree_path(&digest);
            let held = File::open(&place).map_err(|e| EnvironmentError::io("open", &place, e))?;
            // Whoever resolves it now waits for this lock, and then finds it gone.
            if held.try_lock().is_err() || in_use(&digest) {
                pruned.kept.push(digest);
                continue;
            }
            let bytes =
                super::manifest::read_record::<super::Manifest>(&place.join("manifest.json"));
            let bytes = bytes.ok().flatten().map_or(0, |manifest| manifest.bytes);
            let mut names = Vec::new();
            for pointer in pointers.iter().filter(|pointer| pointer.digest == digest) {
                self.forget(&pointer.name)?;
                names.push(pointer.name.clone());
            }
            crash::point("forgotten");
            self.discard(&place)?;
            pruned.removed.push(PrunedTree { digest, names, bytes });
        }
        for pointer in pointers.iter().filter(|p| !self.tree_path(&p.digest).exists()) {
            self.forget(&pointer.name)?;
        }
        drop(entries);
        Ok(pruned)
    }

    fn forget(&self, name: &EnvironmentName) -> Result<()> {
        let path = self.name_path(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(EnvironmentError::io("remove", &path, e))
            }
            _ => Ok(()),
        }
    }

    fn trees(&self) -> Result<Vec<Digest>> {
        let failed = |e| EnvironmentError::io("read", &self.root, e);
        let mut digests = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let hex = name.to_str().and_then(|name| name.strip_prefix("sha256-"));
            digests.extend(hex.and_then(|hex| format!("sha256:{hex}").parse().ok()));
        }
        digests.sort_unstable();
        Ok(digests)
    }
}
