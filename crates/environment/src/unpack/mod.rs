//! Unpacks tar, tar.gz and tar.zst from anybody into a directory handle.
//!
//! One engine for root file systems ([`UnpackPlan::image`]) and for seed archives
//! ([`UnpackPlan::seed`]): the plan says what is allowed. Promises: nothing is ever written
//! outside the target, all counts and sizes are bounded, and every refusal names the entry.
//! A failure leaves a part behind: unpack into a fresh directory and throw that away.
//! Needs the right to give files away where ownership is kept: run it as root or inside the
//! user namespace (see [`crate::Unpacker`]), or ignore ownership.

mod failure;
mod names;
mod pax;
mod place;
mod plan;
mod source;
mod stream;
mod whiteout;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

pub(crate) use failure::printable;
pub use failure::{Bound, OsError, Refusal, UnpackError};
pub use plan::{ArchiveKind, ExpectedArchive, Limits, Ownership, UnpackPlan, UnpackSummary};

use names::EntryPath;
use place::Place;
use source::ArchiveBytes;
use stream::{Entry, EntryKind, TarStream};

/// Unpacks `archive` into `target`, an open directory.
pub fn run(
    archive: impl Read,
    target: OwnedFd,
    plan: &UnpackPlan,
) -> Result<UnpackSummary, UnpackError> {
    let expected = plan.expected.as_ref();
    let mut tar = TarStream::new(ArchiveBytes::open(archive, plan.limits, expected)?);
    let mut place = Place::new(target, plan);
    let mut summary = UnpackSummary::default();
    let mut buffer = vec![0; 128 << 10];
    while let Some(entry) = tar.next()? {
        summary.entries += 1;
        if summary.entries > plan.limits.entries {
            let limit = plan.limits.entries;
            return Err(UnpackError::too_large(&entry.name, Bound::Entries, limit));
        }
        put(&mut tar, &mut place, &entry, plan, &mut summary, &mut buffer)?;
    }
    tar.source_mut().finish(expected)?;
    summary.archive_bytes = tar.source_mut().unpacked();
    Ok(summary)
}

fn put<R: Read>(
    tar: &mut TarStream<ArchiveBytes<R>>,
    place: &mut Place<'_>,
    entry: &Entry,
    plan: &UnpackPlan,
    summary: &mut UnpackSummary,
    buffer: &mut [u8],
) -> Result<(), UnpackError> {
    let path = EntryPath::parse(&entry.name, plan.kind, &plan.limits)?;
    let refuse = |reason| Err(UnpackError::refused(&entry.name, reason));
    if path.is_root() && entry.kind != EntryKind::Directory {
        return refuse(Refusal::BadName);
    }
    if plan.whiteouts && whiteout::apply(place, &path)? {
        summary.whiteouts += 1;
        return Ok(());
    }
    match entry.kind {
        EntryKind::File => {
            let mut file = std::fs::File::from(place.file(&path)?);
            loop {
                let count = tar.read_content(buffer)?;
                let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else {
                    break;
                };
                file.write_all(chunk).map_err(|e| UnpackError::io("write", path.as_bytes(), e))?;
                summary.bytes += chunk.len() as u64;
            }
            place.finish(file.as_fd(), &path, entry)?;
            summary.files += 1;
        }
        EntryKind::Directory => {
            place.directory(&path, entry)?;
            summary.directories += 1;
        }
        EntryKind::Symlink => {
            place.symlink(&path, entry)?;
            summary.symlinks += 1;
        }
        EntryKind::HardLink => {
            place.hard_link(&path, entry)?;
            summary.hard_links += 1;
        }
        EntryKind::Device if plan.refuse_devices => return refuse(Refusal::Device),
        EntryKind::Fifo if plan.refuse_devices => return refuse(Refusal::Fifo),
        EntryKind::Device | EntryKind::Fifo => summary.skipped_devices += 1,
    }
    Ok(())
}
