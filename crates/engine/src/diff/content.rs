//! The contents of both sides of what changed: the seed's from the host's disk, the workspace's
//! from the guest, all bounded.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use pyro_machine::{Guest, GuestError};
use pyro_operations::{Code, Failure};
use pyro_protocol::{
    GuestMessage, HostMessage,
    files::{EntryKind, Pack},
};

use super::{Changed, Side, baseline::Baseline};
use crate::{
    Context,
    failure::{IntoFailure, OrFail},
};

/// Bytes of all contents of one diff.
const MOST: u64 = 256 << 20;
/// Paths of one question to the guest, so that it stays within a frame.
const AT_ONCE: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(300);

/// Both sides of one change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) old: Vec<u8>,
    pub(super) new: Vec<u8>,
}

/// Fetches both sides of each change; in the order of `files`.
pub(super) fn fetch(
    guest: &mut Guest,
    baseline: &Baseline,
    files: &[Changed],
    context: &Context,
) -> Result<Vec<Contents>, Failure> {
    let size = |side: &Option<Side>| match side {
        Some(Side::File { bytes, .. }) => *bytes,
        _ => 0,
    };
    let total: u64 =
        files.iter().filter(|f| !f.same_content).map(|f| size(&f.old) + size(&f.new)).sum();
    if total > MOST {
        return Err(too_large(files));
    }
    let wanted: Vec<&[u8]> = files
        .iter()
        .filter(|file| !file.same_content && matches!(file.new, Some(Side::File { .. })))
        .map(|file| file.path.as_slice())
        .collect();
    let mut now = HashMap::new();
    for part in wanted.chunks(AT_ONCE) {
        now.extend(from_guest(guest, part, context)?);
    }
    files.iter().map(|file| sides(baseline, file, &mut now)).collect()
}

fn sides(
    baseline: &Baseline,
    file: &Changed,
    now: &mut HashMap<Vec<u8>, Vec<u8>>,
) -> Result<Contents, Failure> {
    if file.same_content {
        return Ok(Contents::default());
    }
    let old = match &file.old {
        None => Vec::new(),
        Some(Side::Link { target }) => target.clone(),
        Some(Side::File { .. }) => baseline.old_content(&file.path, MOST)?,
    };
    let new = match &file.new {
        None => Vec::new(),
        Some(Side::Link { target }) => target.clone(),
        Some(Side::File { .. }) => match now.remove(&file.path) {
            Some(bytes) => bytes,
            // With `--from head` a path can differ from HEAD and be as it was seeded.
            None => baseline.read(&file.path, MOST)?,
        },
    };
    Ok(Contents { old, new })
}

fn too_large(files: &[Changed]) -> Failure {
    let mut largest: Vec<(u64, String)> = files
        .iter()
        .filter_map(|file| match &file.new {
            Some(Side::File { bytes, .. }) => {
                Some((*bytes, String::from_utf8_lossy(&file.path).into_owned()))
            }
            _ => None,
        })
        .collect();
    largest.sort_unstable_by(|a, b| b.cmp(a));
    largest.truncate(5);
    let names: Vec<String> =
        largest.into_iter().map(|(bytes, path)| format!("{path} ({bytes} bytes)")).collect();
    Failure::new(Code::TooLarge, format!("the changes hold more than {} MiB", MOST >> 20))
        .hint("give paths, or take large files out with workspace_export")
        .detail("largest", names)
}

fn from_guest(
    guest: &mut Guest,
    paths: &[&[u8]],
    context: &Context,
) -> Result<HashMap<Vec<u8>, Vec<u8>>, Failure> {
    if paths.is_empty() {
        return Ok(HashMap::new());
    }
    let call = guest
        .send(HostMessage::Pack(Pack {
            paths: paths.iter().map(|path| path.to_vec()).collect(),
            recursive: false,
            max_bytes: MOST,
            max_entries: AT_ONCE as u64,
        }))
        .or_fail()?;
    let deadline = Instant::now() + PATIENCE;
    let mut contents: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let mut current: Option<(Vec<u8>, Vec<u8>, u64)> = None;
    let mut taken: u64 = 0;
    let broken = || GuestError::Unexpected { call: "pack" }.into_failure();
    loop {
        match guest.receive(call, Some(deadline), Some(&context.cancel)).or_fail()? {
            GuestMessage::Entry(entry) => {
                if let Some((path, bytes, _)) = current.take() {
                    contents.insert(path, bytes);
                }
                if entry.kind == EntryKind::File {
                    current = Some((entry.path, Vec::new(), entry.bytes));
                }
            }
            GuestMessage::Chunk { bytes } => {
                let granted = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                taken += bytes.len() as u64;
                let Some((_, content, announced)) = &mut current else { return Err(broken()) };
                // Chunks of nothing could go on for ever.
                if bytes.is_empty()
                    || taken > MOST
                    || (content.len() + bytes.len()) as u64 > *announced
                {
                    return Err(broken());
                }
                content.extend_from_slice(&bytes);
                guest.send_on(call, HostMessage::Credit { bytes: granted }).or_fail()?;
            }
            GuestMessage::Done => {
                if let Some((path, bytes, _)) = current.take() {
                    contents.insert(path, bytes);
                }
                return Ok(contents);
            }
            GuestMessage::Failed(refusal) => return Err(refusal.into_failure()),
            _ => return Err(broken()),
        }
    }
}
