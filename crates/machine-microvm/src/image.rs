//! Read-only images of layers: an erofs beside the layer, with its owners as they show inside,
//! padded so that every image fits into the place that a template was made with.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use pyro_launcher::{Ids, Streams, failure, mapped};
use pyro_machine::{MachineError, image_of};
use pyro_protocol::vm::SEED_DISK_BYTES;
use pyro_sys::Context;

use crate::{blank::said_well, once::once, programs::MKFS_EROFS};

/// The image of a layer, made when it is missing. The program runs as the owner of the layer's
/// files shows inside: it reads those of every id, and the image has the guest's owners.
pub(crate) fn prepare(agent: &Path, ids: &Ids, layer: &Path) -> Result<PathBuf, MachineError> {
    let image = image_of(layer);
    once(&image, |part| {
        let program = MKFS_EROFS.find()?;
        // The layer may be reached by a link.
        let layer = fs::canonicalize(layer).doing("find", layer.display()).map_err(failure)?;
        make(agent, ids, &program, &layer, part)?;
        pad(part)
    })?;
    Ok(image)
}

fn make(
    agent: &Path,
    ids: &Ids,
    program: &Path,
    layer: &Path,
    part: &Path,
) -> Result<(), MachineError> {
    // Long inodes keep each file's own time; short ones would show that of the image.
    let words = ["-d1", "--quiet", "-E", "force-inode-extended"];
    let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    arguments.extend([part.as_os_str(), layer.as_os_str()]);
    let streams = Streams { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::piped() };
    let child = mapped::spawn(agent, ids, program.as_os_str(), &arguments, streams)?;
    let output = child.wait_with_output().doing("wait for", program.display()).map_err(failure)?;
    said_well(MKFS_EROFS, part, &output)
}

fn pad(image: &Path) -> Result<(), MachineError> {
    let bytes = fs::metadata(image).doing("look at", image.display()).map_err(failure)?.size();
    if bytes > SEED_DISK_BYTES {
        return Err(MachineError::Unsupported {
            operation: "make an image of a layer",
            reason: format!("it holds {} GiB", bytes >> 30),
            instead: format!("at most {} GiB, or the container machine", SEED_DISK_BYTES >> 30),
        });
    }
    OpenOptions::new()
        .write(true)
        .open(image)
        .and_then(|file| file.set_len(SEED_DISK_BYTES))
        .doing("pad", image.display())
        .map_err(failure)
}

/// What stands for a seed that is not there.
pub(crate) fn placeholder(path: &Path) -> Result<(), MachineError> {
    once(path, |part| {
        fs::File::create(part)
            .and_then(|file| file.set_len(SEED_DISK_BYTES))
            .doing("make", part.display())
            .map_err(failure)
    })
}
