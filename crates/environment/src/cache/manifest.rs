//! What is known about an installed environment: `manifest.json` beside its root file system.

use std::io::Read;
use std::path::Path;

use pyro_model::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{EnvironmentError, Result};
use crate::name::EnvironmentName;
use crate::unpacker::StoredOwnership;

/// The most bytes that any record or document is read for.
pub(crate) const DOCUMENT_MOST: u64 = 4 << 20;
/// The version of this crate's layout on disk.
pub(crate) const FORMAT: u32 = 1;

/// Where an installed environment came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum InstalledFrom {
    /// A Debian mirror.
    DebianBootstrap {
        /// The mirror's address.
        mirror: String,
        /// The release's code name.
        suite: String,
        /// Packages asked for.
        packages: Vec<String>,
    },
    /// A tar of a root file system.
    RootfsTarball {
        /// The file's path at the time.
        path: String,
    },
    /// An OCI image layout directory.
    OciLayout {
        /// The directory's path at the time.
        path: String,
        /// The digest of the image's manifest.
        image_digest: String,
    },
}

/// What an image asks of those who run it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `NAME=value` lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The directory to start in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
}

/// An installed environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this layout.
    pub format: u32,
    /// The name it was installed under.
    pub name: EnvironmentName,
    /// The digest of its tree.
    pub digest: Digest,
    /// Where it came from.
    pub source: InstalledFrom,
    /// When it was installed.
    pub created_at: Timestamp,
    /// Bytes of file content.
    pub bytes: u64,
    /// Files, links and the like.
    pub files: u64,
    /// Debian packages in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<u64>,
    /// What the image asks for.
    pub image: ImageConfig,
    /// As `uname -m` has it.
    pub architecture: String,
    /// How owners are stored.
    pub ownership: StoredOwnership,
    /// Names in the root directory, sorted: the cheap check at each use. Empty if not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top_level: Vec<String>,
}

/// What `names/<name>` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamePointer {
    pub(crate) name: EnvironmentName,
    pub(crate) digest: Digest,
}

/// Reads a small JSON record; `None` when there is no such file.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(EnvironmentError::io("open", path, e)),
    };
    let mut bytes = Vec::new();
    file.take(DOCUMENT_MOST)
        .read_to_end(&mut bytes)
        .map_err(|e| EnvironmentError::io("read", path, e))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| EnvironmentError::Damaged {
        name: path.display().to_string(),
        what: format!("not a record: {e}"),
    })
}

/// Writes a small JSON record so that it is on the disk when this returns.
pub(crate) fn write_record(path: &Path, record: &impl Serialize) -> Result<()> {
    use std::io::Write;
    let failed = |e: std::io::Error| EnvironmentError::io("write", path, e);
    let text = serde_json::to_vec_pretty(record).map_err(|e| failed(e.into()))?;
    let mut file = std::fs::File::create(path).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)
}
