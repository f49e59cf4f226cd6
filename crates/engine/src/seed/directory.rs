//! A plain directory as a seed: everything that stands in it.
//!
//! Left out are `.pyro/exports` and every `.git`, which may hold hooks and credentials of
//! repositories that nobody named; they are listed as skipped. Links come along as links.

use rustix::fs::AtFlags;
use sha2::{Digest, Sha256};

use super::SeedError;
use super::beneath::{Kind, Named, Rooted, child, shown};
use super::facts::{SeedLimits, Skipped};
use super::include::{EXPORTS, looks_like_credential};
use super::listing::{Entry, Found, From};

/// A directory as it is now.
pub(crate) struct Plain {
    pub(crate) entries: Vec<Entry>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) key: Sha256,
    guarded: bool,
}

/// Lists a directory and makes its key; `guarded` leaves out what looks like a credential.
pub(crate) fn read(root: &Rooted, limits: &SeedLimits, guarded: bool) -> Result<Plain, SeedError> {
    let key = Sha256::new();
    let mut plain = Plain { entries: Vec::new(), skipped: Vec::new(), guarded, key };
    plain.key.update(b"directory\0");
    let place = root.path().canonicalize().map_err(|e| SeedError::source(root.path(), e))?;
    plain.key.update(place.as_os_str().as_encoded_bytes());
    let names = root.names().map_err(|error| SeedError::source(root.path(), error))?;
    plain.take(root, root, b"", names, 1, limits)?;
    plain.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    for entry in &plain.entries {
        plain.key.update((entry.path.len() as u64).to_le_bytes());
        plain.key.update(&entry.path);
        plain.key.update(entry.identity);
    }
    Ok(plain)
}

impl Plain {
    fn take(
        &mut self,
        root: &Rooted,
        dir: &Rooted,
        at: &[u8],
        names: Vec<Named>,
        depth: usize,
        limits: &SeedLimits,
    ) -> Result<(), SeedError> {
        let over = |limit: String| {
            let what = root.path().display().to_string();
            Err(SeedError::TooLarge { what, limit })
        };
        if depth > limits.depth {
            return over(format!("{} levels", limits.depth));
        }
        for Named { name, kind } in names {
            let path = child(at, &name);
            if self.entries.len() as u64 > limits.files.saturating_mul(2) {
                return over(format!("{} files", limits.files));
            }
            if name.eq_ignore_ascii_case(b".git") {
                self.skip(&path, "the inside of a Git repository");
                continue;
            }
            if path == EXPORTS {
                continue;
            }
            if self.guarded && looks_like_credential(&name) {
                self.skip(&path, "it looks like a credential");
                continue;
            }
            match kind {
                Kind::Directory => match root.directory(&path).and_then(|opened| {
                    opened.map(|opened| opened.names().map(|names| (opened, names))).transpose()
                }) {
                    Ok(Some((opened, names))) => {
                        self.entries.push(Entry::directory(path.clone()));
                        self.take(root, &opened, &path, names, depth + 1, limits)?;
                    }
                    Ok(None) => {}
                    Err(error) => self.skip(&path, &format!("cannot be read: {error}")),
                },
                Kind::File | Kind::Link => {
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    match rustix::fs::statat(dir.fd(), name.as_slice(), flags) {
                        Ok(stat) => {
                            let found = Found::of(&stat);
                            let (identity, size) = (found.identity(), found.size);
                            self.entries.push(Entry {
                                path,
                                identity,
                                flags: 0,
                                from: From::Work,
                                size,
                            });
                        }
                        Err(error) => self.skip(&path, &format!("cannot be read: {error}")),
                    }
                }
                Kind::Other(kind) => self.skip(&path, kind),
            }
        }
        Ok(())
    }

    fn skip(&mut self, path: &[u8], reason: &str) {
        self.skipped.push(Skipped { path: shown(path), reason: reason.into() });
    }
}
