//! From a name to a root file system: cheap at each use, whole on request.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::manifest::{self, Manifest, NamePointer};
use super::{Cache, FORMAT};
use crate::catalog::{self, CATALOG};
use crate::digest::Digest;
use crate::error::{EnvironmentError, Result};
use crate::name::EnvironmentName;

/// A root directory with more names is not checked at each use.
const TOP_LEVEL_MOST: usize = 64;

/// An installed environment. As long as this value lives, prune does not take it.
#[derive(Debug)]
pub struct Installed {
    /// The root file system: never to be written.
    pub rootfs: PathBuf,
    /// What is known about it; `name` is the name it was asked for.
    pub manifest: Manifest,
    /// A shared lock on its directory.
    lease: File,
}

impl Installed {
    /// The digest of its tree.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.manifest.digest
    }

    /// The lock that keeps prune away, for whoever must hold it longer than this value lives.
    #[must_use]
    pub fn into_lease(self) -> File {
        self.lease
    }
}

/// How an environment stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum EnvironmentState {
    /// The host itself; nothing to install.
    Host,
    /// Known, not on this disk.
    NotInstalled,
    /// There.
    Installed {
        /// What is known about it.
        manifest: Box<Manifest>,
    },
    /// There and not as it was installed.
    Damaged {
        /// What is wrong.
        what: String,
    },
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EnvironmentStatus {
    /// Its name.
    pub name: EnvironmentName,
    /// Whether it is one of the curated ones.
    pub curated: bool,
    /// What is in it, for curated ones.
    pub summary: Option<String>,
    /// How it stands.
    #[serde(flatten)]
    pub state: EnvironmentState,
}

impl Cache {
    /// The installed environment `name`: two small reads and a cheap check.
    pub fn resolve(&self, name: &EnvironmentName) -> Result<Installed> {
        if name.as_str() == catalog::HOST {
            let why = "it is this machine itself and never installed";
            return Err(EnvironmentError::NotForThis {
                act: "resolve",
                name: name.to_string(),
                why,
            });
        }
        let known = catalog::find(name).is_some();
        let pointer = self.pointer(name)?.ok_or_else(|| match known {
            true => EnvironmentError::NotInstalled { name: name.to_string() },
            false => EnvironmentError::Unknown { name: name.to_string() },
        })?;
        let mut installed = self.resolve_tree(&pointer.digest, name.as_str())?;
        installed.manifest.name = name.clone();
        Ok(installed)
    }

    /// The installed environment with that digest, whatever its name means by now.
    pub fn resolve_digest(&self, digest: &Digest) -> Result<Installed> {
        self.resolve_tree(digest, digest.as_str())
    }

    /// As [`Cache::resolve`]; `deep` reads the whole tree and compares its digest. A damaged one
    /// is marked, so that every later use finds it damaged until a pull repairs it.
    pub fn verify(&self, name: &EnvironmentName, deep: bool) -> Result<Installed> {
        let installed = self.resolve(name)?;
        if deep {
            self.compare(installed.digest(), &installed.rootfs, name.as_str())?;
        }
        Ok(installed)
    }

    /// How the environment `name` stands; `deep` as in [`Cache::verify`].
    pub fn inspect(&self, name: &EnvironmentName, deep: bool) -> Result<EnvironmentStatus> {
        let curated = catalog::find(name);
        let state = if name.as_str() == catalog::HOST {
            EnvironmentState::Host
        } else {
            match self.verify(name, deep) {
                Ok(installed) => {
                    EnvironmentState::Installed { manifest: Box::new(installed.manifest) }
                }
                Err(EnvironmentError::NotInstalled { .. }) => EnvironmentState::NotInstalled,
                Err(EnvironmentError::Damaged { what, .. }) => EnvironmentState::Damaged { what },
                Err(other) => return Err(other),
            }
        };
        Ok(EnvironmentStatus {
            name: name.clone(),
            curated: curated.is_some(),
            summary: curated.map(|entry| entry.summary.to_owned()),
            state,
        })
    }

    /// The curated environments, then the imported ones by name.
    pub fn list(&self) -> Result<Vec<EnvironmentStatus>> {
        let mut names = Vec::new();
        for entry in CATALOG {
            names.push(entry.name.parse()?);
        }
        let mut others: Vec<_> = self.pointers()?.into_iter().map(|pointer| pointer.name).collect();
        others.retain(|name| !names.contains(name));
        others.sort();
        names.iter().chain(&others).map(|name| self.inspect(name, false)).collect()
    }

    pub(super) fn pointer(&self, name: &EnvironmentName) -> Result<Option<NamePointer>> {
        manifest::read_record(&self.name_path(name)).map_err(|e| match e {
            EnvironmentError::Damaged { what, .. } => {
                EnvironmentError::Damaged { name: name.to_string(), what }
            }
            other => other,
        })
    }

    /// All names; an unreadable one is passed over (the next pull of it writes it anew).
    pub(super) fn pointers(&self) -> Result<Vec<NamePointer>> {
        let directory = self.root.join("names");
        let failed = |e| EnvironmentError::io("read", &directory, e);
        let mut pointers = Vec::new();
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
            if !hidden && let Ok(Some(pointer)) = manifest::read_record::<NamePointer>(&path) {
                pointers.push(pointer);
            }
        }
        Ok(pointers)
    }

    /// Whether the tree of `digest` is in place and whole.
    pub(super) fn whole(&self, digest: &Digest) -> Result<()> {
        let installed = self.resolve_digest(digest)?;
        self.compare(digest, &installed.rootfs, digest.as_str())
    }

    fn compare(&self, digest: &Digest, rootfs: &Path, name: &str) -> Result<()> {
        let found = self.unpacker.measure(rootfs).map_err(|e| EnvironmentError::archive(rootfs, e));
        let what = match found {
            Ok(measure) if measure.digest == *digest => return Ok(()),
            Ok(measure) => format!("its digest is {}", measure.digest),
            Err(e) => format!("it cannot be read: {}", with_sources(&e)),
        };
        let marker = self.tree_path(digest).join("damaged");
        std::fs::write(&marker, &what).map_err(|e| EnvironmentError::io("write", &marker, e))?;
        Err(EnvironmentError::Damaged { name: name.to_owned(), what })
    }

    fn resolve_tree(&self, digest: &Digest, name: &str) -> Result<Installed> {
        let place = self.tree_path(digest);
        let damaged =
            |what: &str| EnvironmentError::Damaged { name: name.to_owned(), what: what.to_owned() };
        let Some(lease) = lease(&place)? else {
            return Err(EnvironmentError::NotInstalled { name: name.to_owned() });
        };
        if place.join("damaged").exists() {
            return Err(damaged("an earlier check found its digest changed"));
        }
        let manifest: Manifest = match manifest::read_record(&place.join("manifest.json")) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Err(damaged("its manifest is missing")),
            Err(EnvironmentError::Damaged { what, .. }) => return Err(damaged(&what)),
            Err(other) => return Err(other),
        };
        if manifest.format != FORMAT || manifest.digest != *digest {
            return Err(damaged("its manifest is another one's"));
        }
        let rootfs = place.join("rootfs");
        if !std::fs::symlink_metadata(&rootfs).is_ok_and(|found| found.is_dir()) {
            return Err(damaged("its root file system is missing"));
        }
        let found = top_level(&rootfs).filter(|_| !manifest.top_level.is_empty());
        if found.is_some_and(|found| found != manifest.top_level) {
            return Err(damaged("its root directory has changed"));
        }
        Ok(Installed { rootfs, manifest, lease })
    }
}

/// Locks the directory at `place` shared; `None` if there is none.
pub(crate) fn lease(place: &Path) -> Result<Option<File>> {
    loop {
        let held = match File::open(place) {
            Ok(held) => held,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(EnvironmentError::io("open", place, e)),
        };
        let failed = |e| EnvironmentError::io("lock", place, e);
        held.lock_shared().map_err(failed)?;
        let locked = held.metadata().map_err(failed)?.ino();
        // Pruned or repaired in between: what is locked lies in the trash.
        match std::fs::symlink_metadata(place) {
            Ok(there) if there.ino() == locked => return Ok(Some(held)),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        }
    }
}

/// The sorted names in `rootfs`; `None` if there are too many, or it cannot be read.
pub(super) fn top_level(rootfs: &Path) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(rootfs).ok()? {
        if names.len() == TOP_LEVEL_MOST {
            return None;
        }
        names.push(entry.ok()?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Some(names)
}

/// An error with all that caused it, for a record.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
