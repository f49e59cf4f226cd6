//! How large an ignored directory is, as far as anybody has to know.
//!
//! Counting stops once a directory is over 1 MiB, and altogether after a fixed number of names,
//! so that the answer costs the same for a small and for a huge `node_modules`.

use rustix::fs::AtFlags;

use super::beneath::{Kind, Rooted, child};

/// Smaller ignored directories are not worth a mention.
const WORTH_A_MENTION: u64 = 1 << 20;
const NAMES_MOST: usize = 50_000;

/// Counts within one budget.
#[derive(Debug, Default)]
pub(crate) struct Measure {
    names: usize,
}

impl Measure {
    /// The bytes counted so far in a directory that is over the mark; `None` for a smaller one,
    /// and once the budget is used up.
    pub(crate) fn at_least(&mut self, work: &Rooted, dir: &[u8]) -> Option<u64> {
        let mut bytes = 0;
        let mut left = vec![dir.to_vec()];
        while let Some(dir) = left.pop() {
            let Ok(Some(opened)) = work.directory(&dir) else { continue };
            for entry in opened.names().unwrap_or_default() {
                self.names += 1;
                if self.names > NAMES_MOST {
                    return None;
                }
                match entry.kind {
                    Kind::Directory => left.push(child(&dir, &entry.name)),
                    Kind::File => {
                        let name = entry.name.as_slice();
                        let flags = AtFlags::SYMLINK_NOFOLLOW;
                        bytes += rustix::fs::statat(opened.fd(), name, flags)
                            .map_or(0, |stat| stat.st_size.cast_unsigned());
                        if bytes > WORTH_A_MENTION {
                            return Some(bytes);
                        }
                    }
                    _ => {}
                }
            }
        }
        None
    }
}
