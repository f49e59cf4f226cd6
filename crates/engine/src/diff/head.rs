//! `diff --from head`: the same changes against the commit that was checked out, with what the
//! user had not committed yet in them.

use std::collections::BTreeMap;

use pyro_operations::{Code, Failure};

use super::{Changed, Changes, Side, baseline::Baseline};
use crate::{failure::OrFail, seed};

/// Bytes of a blob that are read at most.
const MOST: u64 = 256 << 20;

/// Replaces the old side of every path that differed from HEAD when it was seeded.
pub(super) fn against_head(changes: &mut Changes, baseline: &Baseline) -> Result<(), Failure> {
    let Some(layer) = baseline.layer.as_ref().filter(|layer| layer.facts.commit.is_some()) else {
        return Err(Failure::new(Code::InvalidArgument, "from `head`: the seed has no Git commit")
            .hint("use from `baseline`"));
    };
    let dirty = seed::head_dirty(layer).or_fail()?;
    let mut files: BTreeMap<Vec<u8>, Changed> = std::mem::take(&mut changes.files)
        .into_iter()
        .map(|file| (file.path.clone(), file))
        .collect();
    for one in dirty {
        let old = match &one.head {
            None => None,
            Some((0o120_000, oid)) => {
                Some(Side::Link { target: seed::read_head_blob(layer, oid, 4_096).or_fail()? })
            }
            // A submodule: no diff of files holds it.
            Some((0o160_000, _)) => continue,
            Some((mode, _)) => Some(Side::File { bytes: 0, executable: mode & 0o111 != 0 }),
        };
        let new = match files.remove(&one.path) {
            Some(changed) => changed.new,
            None => baseline.side(&one.path)?,
        };
        if old.is_none() && new.is_none() {
            continue;
        }
        files.insert(one.path.clone(), Changed { path: one.path, old, new, same_content: false });
    }
    baseline.read_old_from_head();
    changes.files = files.into_values().collect();
    Ok(())
}

impl Baseline {
    /// The old content of a changed path: HEAD's where the diff is against it, else the seed's.
    pub(super) fn old_content(&self, path: &[u8], most: u64) -> Result<Vec<u8>, Failure> {
        if self.is_against_head()
            && let Some(layer) = &self.layer
        {
            let dirty = seed::head_dirty(layer).or_fail()?;
            if let Ok(found) = dirty.binary_search_by(|one| one.path.as_slice().cmp(path))
                && let Some((_, oid)) = &dirty[found].head
            {
                return seed::read_head_blob(layer, oid, MOST).or_fail();
            }
        }
        self.read(path, most)
    }
}
