//! What is known about an installed kernel: `kernel.json` beside it, and the checks against it.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pyro_model::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{KernelError, KernelFrom, Result, image, modules};
use crate::digest::{Digest, hex};

pub(super) const IMAGE: &str = "vmlinuz";
pub(super) const MODULES: &str = "modules";
const RECORD: &str = "kernel.json";
/// The version of this layout.
const FORMAT: u32 = 1;

/// One file of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Relative to the kernel's directory.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Part {
    pub(super) fn of(path: String, content: &[u8]) -> Self {
        let sha256 = hex(&Sha256::digest(content));
        Self { path, bytes: content.len() as u64, sha256 }
    }
}

/// `kernel.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) format: u32,
    pub(super) digest: Digest,
    pub(super) release: String,
    pub(super) from: KernelFrom,
    pub(super) installed_at: Timestamp,
    /// The image first, then the modules in the order of their loading.
    pub(super) parts: Vec<Part>,
}

fn damaged<T>(what: impl Into<String>) -> Result<T> {
    Err(KernelError::Damaged { what: what.into() })
}

impl Record {
    pub(super) fn new(release: String, from: KernelFrom, parts: Vec<Part>) -> Self {
        let digest = digest(&release, &parts);
        let installed_at = Timestamp::now();
        Self { format: FORMAT, digest, release, from, installed_at, parts }
    }

    /// Reads the record in `place` and checks that it is the one of `digest`, whose parts lie
    /// where parts lie.
    pub(super) fn read(place: &Path, digest: &Digest) -> Result<Self> {
        let record: Self = match crate::cache::read_record(&place.join(RECORD)) {
            Ok(Some(record)) => record,
            Ok(None) => return damaged(format!("{RECORD} is missing")),
            Err(crate::EnvironmentError::Damaged { what, .. }) => return damaged(what),
            Err(other) => return Err(other.into()),
        };
        if record.format != FORMAT
            || record.digest != *digest
            || self::digest(&record.release, &record.parts) != *digest
        {
            return damaged(format!("{RECORD} is another one's"));
        }
        let in_place = |(index, part): (usize, &Part)| match index {
            0 => part.path == IMAGE,
            _ => part
                .path
                .strip_prefix("modules/")
                .and_then(|file| file.strip_prefix(&format!("{index:02}-")))
                .and_then(modules::name_of)
                .is_some(),
        };
        if record.parts.is_empty() || !record.parts.iter().enumerate().all(in_place) {
            return damaged(format!("{RECORD} names strange files"));
        }
        Ok(record)
    }

    pub(super) fn write(&self, place: &Path) -> Result<()> {
        crate::cache::write_record(&place.join(RECORD), self).map_err(Into::into)
    }

    pub(super) fn module_paths(&self, place: &Path) -> Vec<PathBuf> {
        self.parts.iter().skip(1).map(|part| place.join(&part.path)).collect()
    }

    /// Whether every file is there and has its size.
    pub(super) fn check_sizes(&self, place: &Path) -> Result<()> {
        for part in &self.parts {
            let found = std::fs::symlink_metadata(place.join(&part.path));
            if !found.is_ok_and(|found| found.is_file() && found.len() == part.bytes) {
                return damaged(format!("{} has changed", part.path));
            }
        }
        Ok(())
    }

    /// Whether every file has its content.
    pub(super) fn check_content(&self, place: &Path) -> Result<()> {
        self.check_sizes(place)?;
        for part in &self.parts {
            let path = place.join(&part.path);
            let content = read_bounded(&path, image::IMAGE_MOST)?;
            if Part::of(String::new(), &content).sha256 != part.sha256 {
                return damaged(format!("{} has changed", part.path));
            }
        }
        Ok(())
    }
}

fn digest(release: &str, parts: &[Part]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(format!("kernel 1 {release}\n"));
    for part in parts {
        hash.update(format!("{} {} {}\n", part.path, part.bytes, part.sha256));
    }
    Digest::of(&hash.finalize())
}

/// A whole file of at most `most` bytes. What is no file is refused: a pipe would be waited for
/// as long as nobody writes to it.
pub(super) fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>> {
    let failed = |e| KernelError::io("read", path, e);
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(KernelError::unusable(path, "it is no file"));
    }
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > most {
        return Err(KernelError::unusable(path, format!("it is larger than {most} bytes")));
    }
    Ok(content)
}
