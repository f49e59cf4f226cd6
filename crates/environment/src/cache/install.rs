//! Installing: one call per name builds, the others wait and take its result.
//!
//! 1. lock the name;
//! 2. is it there and whole? then done;
//! 3. build in a build directory;
//! 4. settle, measure, write the manifest, sync;
//! 5. one rename to the digest's place (an exchange where a damaged tree of that digest is);
//! 6. one rename of the name.
//!
//! Killed before step 5, the build is swept; between 5 and 6, the next pull finds the tree.

use pyro_model::Timestamp;
use rustix::fs::RenameFlags;

use super::manifest::{self, FORMAT, NamePointer};
use super::{Building, Cache, ImageConfig, Installed, InstalledFrom, Manifest};
use crate::crash;
use crate::digest::Digest;
use crate::error::{EnvironmentError, Result};
use crate::name::EnvironmentName;
use crate::progress::{Progress, ProgressSink, Stage};

/// What a call to install did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was not there and now is.
    Installed,
    /// It was there and whole.
    AlreadyInstalled,
    /// It was there and damaged, and now is whole.
    Repaired,
    /// The name now means another tree; the old one stays until pruned.
    Replaced,
}

/// An installed environment, and what was done for it.
#[derive(Debug)]
pub struct Pulled {
    /// What was done.
    pub outcome: Outcome,
    /// The environment.
    pub installed: Installed,
}

/// How to install.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// What to do when it is there and whole.
    pub(crate) rebuild: Rebuild,
    /// Wait for another call on the same name, or fail as busy.
    pub(crate) wait: bool,
}

/// When a whole one is built anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rebuild {
    /// Never.
    Never,
    /// Unless this call waited for one that built it: it is as fresh as could be.
    UnlessJustBuilt,
    /// Always, since the source is the caller's own.
    Always,
}

/// What a source made in the build directory.
pub(crate) struct Built {
    pub(crate) source: InstalledFrom,
    pub(crate) image: ImageConfig,
    /// Empty apt's caches in it.
    pub(crate) package_caches: bool,
}

type Build<'b> = dyn FnMut(&Building<'_>, &mut ProgressSink<'_>) -> Result<Built> + 'b;

impl Cache {
    /// Installs `name` with what `build` makes.
    pub(crate) fn install(
        &self,
        name: &EnvironmentName,
        wish: Wish,
        progress: &mut ProgressSink<'_>,
        build: &mut Build<'_>,
    ) -> Result<Pulled> {
        let path = self.root.join("locks").join(name.as_file_name());
        let held = super::open_lock(&path)?;
        let waited = match held.try_lock() {
            Ok(()) => false,
            Err(std::fs::TryLockError::WouldBlock) if !wish.wait => {
                return Err(EnvironmentError::Busy { name: name.to_string() });
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                progress(Progress::at(Stage::Waiting, "another call is installing it"));
                held.lock().map_err(|e| EnvironmentError::io("lock", &path, e))?;
                true
            }
            Err(std::fs::TryLockError::Error(e)) => {
                return Err(EnvironmentError::io("lock", &path, e));
            }
        };
        let before = self.pointer(name).ok().flatten().map(|pointer| pointer.digest);
        let mut damaged = false;
        let keep = match wish.rebuild {
            Rebuild::Never => true,
            Rebuild::UnlessJustBuilt => waited,
            Rebuild::Always => false,
        };
        if before.is_some() && keep {
            progress(Progress::at(Stage::Verifying, format!("checking {name}")));
            // What another call installed a moment ago has just been measured.
            match self.verify(name, !waited) {
                Ok(installed) => {
                    return Ok(Pulled { outcome: Outcome::AlreadyInstalled, installed });
                }
                Err(EnvironmentError::Damaged { .. } | EnvironmentError::NotInstalled { .. }) => {
                    damaged = true;
                }
                Err(other) => return Err(other),
            }
        }
        let digest = self.build_and_commit(name, progress, build)?;
        let installed = self.resolve(name)?;
        let outcome = match before {
            _ if damaged => Outcome::Repaired,
            None => Outcome::Installed,
            Some(old) if old == digest => Outcome::AlreadyInstalled,
            Some(_) => Outcome::Replaced,
        };
        Ok(Pulled { outcome, installed })
    }

    fn build_and_commit(
        &self,
        name: &EnvironmentName,
        progress: &mut ProgressSink<'_>,
        build: &mut Build<'_>,
    ) -> Result<Digest> {
        let building = Building::begin(self)?;
        crash::point("begun");
        let built = build(&building, progress)?;
        crash::point("built");
        let rootfs = building.rootfs();
        let failed = |e| EnvironmentError::archive(&rootfs, e);
        progress(Progress::at(Stage::Measuring, "computing the digest"));
        self.unpacker.settle(&rootfs, built.package_caches).map_err(failed)?;
        let measure = self.unpacker.measure(&rootfs).map_err(failed)?;
        let manifest = Manifest {
            format: FORMAT,
            name: name.clone(),
            digest: measure.digest,
            source: built.source,
            created_at: Timestamp::now(),
            bytes: measure.bytes,
            files: measure.files,
            packages: measure.packages,
            image: built.image,
            architecture: std::env::consts::ARCH.to_owned(),
            ownership: self.unpacker.ownership(),
            top_level: super::resolve::top_level(&rootfs).unwrap_or_default(),
        };
        progress(Progress::at(Stage::Installing, manifest.digest.as_str()));
        self.commit(&building, &manifest)?;
        Ok(manifest.digest)
    }

    fn commit(&self, building: &Building<'_>, manifest: &Manifest) -> Result<()> {
        manifest::write_record(&building.path().join("manifest.json"), manifest)?;
        let failed = |e| EnvironmentError::io("sync", building.path(), e);
        // After a power failure the rename must not be there without the files.
        rustix::fs::syncfs(building.handle()).map_err(failed)?;
        crash::point("written");
        let place = self.tree_path(&manifest.digest);
        let entries = self.lock_entries()?;
        let there = place.exists();
        // The tree may be there under another name, or from a pull that was killed before it
        // could name it; running machines may stand on it, so a whole one is left alone.
        let flags = match there {
            true if self.whole(&manifest.digest).is_ok() => None,
            true => Some(RenameFlags::EXCHANGE),
            false => Some(RenameFlags::NOREPLACE),
        };
        if let Some(flags) = flags {
            let cwd = rustix::fs::CWD;
            rustix::fs::renameat_with(cwd, building.path(), cwd, &place, flags)
                .map_err(|e| EnvironmentError::io("move into place", &place, e))?;
            crash::point("placed");
            if there {
                self.discard(building.path())?;
            }
        }
        let pointer = NamePointer { name: manifest.name.clone(), digest: manifest.digest.clone() };
        let path = self.name_path(&pointer.name);
        let fresh = self.root.join("names").join(".fresh");
        manifest::write_record(&fresh, &pointer)?;
        crash::point("naming");
        std::fs::rename(&fresh, &path).map_err(|e| EnvironmentError::io("write", &path, e))?;
        crash::point("named");
        // Both renames onto the disk.
        rustix::fs::syncfs(&entries).map_err(|e| EnvironmentError::io("sync", &path, e))
    }
}
