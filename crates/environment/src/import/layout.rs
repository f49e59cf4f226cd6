//! An OCI image layout directory: index, manifest, configuration, layers.
//!
//! Promises: every blob is opened beneath the layout's directory handle, and its size and digest
//! are checked while it is read; a blob that differs fails the import before anything is
//! installed. Other entry points than files of the layout (URLs, foreign layers) are not used.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::document::{
    self, Descriptor, ImageDocument, ImageManifest, Index, LayoutMark, Platform,
};
use crate::cache::{Building, Built, DOCUMENT_MOST, ImageConfig, InstalledFrom};
use crate::digest::Digest;
use crate::error::{EnvironmentError, Result};
use crate::progress::{Progress, ProgressSink, Stage};
use crate::unpack::{ExpectedArchive, Limits, UnpackError, UnpackPlan};

/// Indexes within indexes.
const NESTED_MOST: u32 = 4;
/// Layers of an image.
const LAYERS_MOST: usize = 512;

/// Imports the one image for this machine in the layout at `path`.
pub(super) fn import(
    path: &Path,
    building: &Building<'_>,
    progress: &mut ProgressSink<'_>,
) -> Result<Built> {
    let layout = Layout::open(path)?;
    let chosen = layout.choose(layout.index()?, 0)?;
    let manifest: ImageManifest = layout.document(&chosen)?;
    let config: ImageDocument = layout.document(&manifest.config)?;
    if !fits(&Platform { architecture: config.architecture.clone(), os: config.os.clone() }) {
        let what = format!("it is for {}/{}", config.os, config.architecture);
        return Err(EnvironmentError::image(path, crate::unpack::printable(what.as_bytes())));
    }
    if manifest.layers.is_empty() || manifest.layers.len() > LAYERS_MOST {
        let what = format!("it has {} layers", manifest.layers.len());
        return Err(EnvironmentError::image(path, what));
    }
    let mut limits = Limits::default();
    for (at, layer) in manifest.layers.iter().enumerate() {
        let detail = format!("layer {} of {}", at + 1, manifest.layers.len());
        let percent = u8::try_from(at * 100 / manifest.layers.len()).ok();
        progress(Progress { stage: Stage::Unpacking, detail, percent });
        layout.unpack_layer(layer, building, &mut limits)?;
    }
    let run = config.config.unwrap_or_default();
    Ok(Built {
        source: InstalledFrom::OciLayout {
            path: path.display().to_string(),
            image_digest: chosen.digest.to_string(),
        },
        image: ImageConfig {
            env: run.env.unwrap_or_default(),
            working_dir: run.working_dir.filter(|directory| !directory.is_empty()),
        },
        package_caches: false,
    })
}

/// A layout directory.
struct Layout<'a> {
    path: &'a Path,
    root: OwnedFd,
}

impl<'a> Layout<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|e| EnvironmentError::io("open", path, e))?;
        let layout = Self { path, root };
        let mark: LayoutMark = layout.parse("oci-layout", layout.open_file("oci-layout")?)?;
        if !mark.image_layout_version.starts_with("1.") {
            return Err(EnvironmentError::image(path, "its layout version is not 1"));
        }
        Ok(layout)
    }

    fn index(&self) -> Result<Index> {
        self.parse("index.json", self.open_file("index.json")?)
    }

    /// The manifest for this machine: the one that says so, else the only one.
    fn choose(&self, index: Index, nested: u32) -> Result<Descriptor> {
        let mut fitting: Vec<Descriptor> = index
            .manifests
            .into_iter()
            .filter(|manifest| manifest.platform.as_ref().is_none_or(fits))
            .filter(|manifest| !is_attestation(manifest))
            .collect();
        // One image under several tags is one image.
        fitting.dedup_by(|a, b| a.digest == b.digest);
        if fitting.iter().any(|manifest| manifest.platform.is_some()) {
            fitting.retain(|manifest| manifest.platform.is_some());
        }
        let (Some(chosen), true) = (fitting.pop(), fitting.is_empty()) else {
            let what = format!(
                "it has no single image for linux/{}; copy one image into a layout of its own",
                document::architecture()
            );
            return Err(EnvironmentError::image(self.path, what));
        };
        let is_index = chosen.media_type.contains("image.index")
            || chosen.media_type.contains("manifest.list");
        if !is_index {
            return Ok(chosen);
        }
        if nested == NESTED_MOST {
            return Err(EnvironmentError::image(self.path, "its indexes are nested too deep"));
        }
        let index = self.document(&chosen)?;
        self.choose(index, nested + 1)
    }

    /// Reads and verifies a JSON blob.
    fn document<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T> {
        let name = blob_name(&descriptor.digest);
        if descriptor.size > DOCUMENT_MOST {
            return Err(EnvironmentError::image(self.path, format!("{name} is too large")));
        }
        let bytes = self.read(&name, self.open_file(&name)?)?;
        let mismatch = |what: &str, expected: String, found: String| {
            let source = UnpackError::Mismatch { what: what.into(), expected, found };
            EnvironmentError::archive(&self.path.join(&name), source)
        };
        if bytes.len() as u64 != descriptor.size {
            let (expected, found) = (descriptor.size.to_string(), bytes.len().to_string());
            return Err(mismatch("size", expected, found));
        }
        let found = Digest::of(&Sha256::digest(&bytes));
        if found != descriptor.digest {
            let expected = descriptor.digest.to_string();
            return Err(mismatch("digest", expected, found.to_string()));
        }
        self.json(&name, &bytes)
    }

    /// Unpacks one layer and takes what it used from `limits`.
    fn unpack_layer(
        &self,
        layer: &Descriptor,
        building: &Building<'_>,
        limits: &mut Limits,
    ) -> Result<()> {
        let name = blob_name(&layer.digest);
        let blob = self.open_file(&name)?;
        let unpacker = building.cache().unpacker();
        let sha256 = layer.digest.hex().to_owned();
        let plan = UnpackPlan {
            whiteouts: true,
            limits: *limits,
            expected: Some(ExpectedArchive { sha256, bytes: layer.size }),
            ..UnpackPlan::image(unpacker.ownership().when_unpacking())
        };
        let summary = unpacker
            .unpack(blob, &building.rootfs(), plan)
            .map_err(|e| EnvironmentError::archive(&self.path.join(&name), e))?;
        limits.entries = limits.entries.saturating_sub(summary.entries);
        limits.bytes = limits.bytes.saturating_sub(summary.archive_bytes);
        Ok(())
    }

    fn open_file(&self, name: &str) -> Result<File> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = rustix::fs::openat2(&self.root, name, flags, Mode::empty(), resolve)
            .map_err(|e| EnvironmentError::image(&path, std::io::Error::from(e).to_string()))?;
        let file = File::from(file);
        match file.metadata() {
            Ok(found) if found.is_file() => Ok(file),
            _ => Err(EnvironmentError::image(&path, "it is not a regular file")),
        }
    }

    fn read(&self, name: &str, file: File) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        file.take(DOCUMENT_MOST + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| EnvironmentError::io("read", &self.path.join(name), e))?;
        if bytes.len() as u64 > DOCUMENT_MOST {
            return Err(EnvironmentError::image(self.path, format!("{name} is too large")));
        }
        Ok(bytes)
    }

    fn parse<T: DeserializeOwned>(&self, name: &str, file: File) -> Result<T> {
        self.json(name, &self.read(name, file)?)
    }

    fn json<T: DeserializeOwned>(&self, name: &str, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes)
            .map_err(|e| EnvironmentError::image(&self.path.join(name), e.to_string()))
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn fits(platform: &Platform) -> bool {
    platform.os == "linux" && platform.architecture == document::architecture()
}

fn is_attestation(manifest: &Descriptor) -> bool {
    manifest.annotations.contains_key("vnd.docker.reference.type")
}
