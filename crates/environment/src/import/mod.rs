//! Environments from the user's own files: a tar of a root file system, or an OCI image layout.
//!
//! Promises: nothing of the source is trusted, and a source that is refused changes nothing.

mod document;
mod layout;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::cache::{Building, Built, Cache, ImageConfig, InstalledFrom, Pulled, Rebuild, Wish};
use crate::catalog;
use crate::error::{EnvironmentError, Result};
use crate::name::EnvironmentName;
use crate::progress::{Progress, ProgressSink, Stage};
use crate::unpack::UnpackPlan;

/// What to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportSource {
    /// A tar, tar.gz or tar.zst (told apart by content) of a root file system.
    RootfsTarball(PathBuf),
    /// An OCI image layout directory with one image for this architecture.
    OciLayout(PathBuf),
}

impl Cache {
    /// Installs `source` under `name`, which may be taken by an earlier import: that tree then
    /// stays for its workspaces until pruned.
    pub fn import(
        &self,
        name: &EnvironmentName,
        source: &ImportSource,
        progress: &mut ProgressSink<'_>,
    ) -> Result<Pulled> {
        if catalog::find(name).is_some() {
            let why = "that name is pyro's own, take another one";
            return Err(EnvironmentError::NotForThis {
                act: "import",
                name: name.to_string(),
                why,
            });
        }
        let wish = Wish { rebuild: Rebuild::Always, wait: true };
        self.install(name, wish, progress, &mut |building, progress| match source {
            ImportSource::RootfsTarball(path) => tarball(path, building, progress),
            ImportSource::OciLayout(path) => layout::import(path, building, progress),
        })
    }
}

fn tarball(path: &Path, building: &Building<'_>, progress: &mut ProgressSink<'_>) -> Result<Built> {
    progress(Progress::at(Stage::Unpacking, path.display().to_string()));
    let failed = |e| EnvironmentError::io("open", path, e);
    // A named pipe in its place must not make us wait for a writer.
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let flags = i32::try_from(flags).unwrap_or_default();
    let archive = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if !archive.metadata().map_err(failed)?.is_file() {
        return Err(EnvironmentError::image(path, "it is not a regular file"));
    }
    let unpacker = building.cache().unpacker();
    let plan = UnpackPlan::image(unpacker.ownership().when_unpacking());
    let summary = unpacker
        .unpack(archive, &building.rootfs(), plan)
        .map_err(|e| EnvironmentError::archive(path, e))?;
    if summary.files + summary.symlinks == 0 {
        return Err(EnvironmentError::image(path, "there is no file in it"));
    }
    Ok(Built {
        source: InstalledFrom::RootfsTarball { path: path.display().to_string() },
        image: ImageConfig::default(),
        package_caches: false,
    })
}
