//! Renames: a path that is gone and one that is new with exactly its content.
//!
//! Only exact ones, each old path used once, empty files never: a wrong rename would mislead more
//! than a missed one.

use std::collections::HashMap;

use super::{Changed, Side, content::Contents};

/// For each changed file that is a rename's new path, the index of its old one.
pub(super) fn find(files: &[Changed], contents: &[Contents]) -> HashMap<usize, usize> {
    let mut gone: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (index, file) in files.iter().enumerate() {
        if let (Some(Side::File { .. }), None) = (&file.old, &file.new)
            && !contents[index].old.is_empty()
        {
            gone.entry(&contents[index].old).or_default().push(index);
        }
    }
    let mut renames = HashMap::new();
    if gone.is_empty() {
        return renames;
    }
    for (index, file) in files.iter().enumerate() {
        if let (None, Some(Side::File { .. })) = (&file.old, &file.new)
            && let Some(candidates) = gone.get_mut(contents[index].new.as_slice())
            && !candidates.is_empty()
        {
            // The one with the same name, else the first by path.
            let name = |path: &[u8]| path.rsplit(|b| *b == b'/').next().map(<[u8]>::to_vec);
            let wanted = name(&file.path);
            let chosen =
                candidates.iter().position(|old| name(&files[*old].path) == wanted).unwrap_or(0);
            renames.insert(index, candidates.remove(chosen));
        }
    }
    renames
}
