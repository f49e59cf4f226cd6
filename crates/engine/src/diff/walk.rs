//! The walk over the upper layer: which paths differ from the seed.
//!
//! What the guest says is believed only about its own upper layer, and bounded; what the seed has
//! is read on the host.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use pyro_machine::{Guest, GuestError};
use pyro_operations::{Code, Failure};
use pyro_protocol::{
    GuestMessage, HostMessage,
    upper::{AgainstSeed, UpperDirectory, UpperEntry, UpperKind, UpperList},
};

use super::{
    Changed, Changes, Side,
    baseline::{Baseline, join},
};
use crate::{
    Context,
    failure::{IntoFailure, OrFail},
};

/// How long the guest may take over one level.
const PATIENCE: Duration = Duration::from_secs(300);
/// Directories asked for at once; the protocol's bound.
const AT_ONCE: usize = 10_000;
/// Changed paths, and levels of directories.
const MOST: usize = 1_000_000;
const LEVELS: usize = 1_024;

struct Walk<'a> {
    baseline: &'a Baseline,
    files: BTreeMap<Vec<u8>, Changed>,
    ignored: u64,
    others: u64,
    next: Vec<Vec<u8>>,
}

pub(super) fn changes(
    guest: &mut Guest,
    baseline: &Baseline,
    context: &Context,
) -> Result<Changes, Failure> {
    let mut walk =
        Walk { baseline, files: BTreeMap::new(), ignored: 0, others: 0, next: Vec::new() };
    let mut level = vec![Vec::new()];
    for _ in 0..LEVELS {
        if level.is_empty() {
            break;
        }
        for part in level.chunks(AT_ONCE) {
            for directory in ask(guest, part, context)? {
                walk.directory(directory)?;
            }
        }
        level = std::mem::take(&mut walk.next);
    }
    let mut notices = Vec::new();
    if walk.others > 0 {
        notices.push(format!("{} sockets, pipes or devices are in no diff", walk.others));
    }
    Ok(Changes { files: walk.files.into_values().collect(), ignored: walk.ignored, notices })
}

/// Several messages may speak of one directory: they are put together first.
fn ask(
    guest: &mut Guest,
    directories: &[Vec<u8>],
    context: &Context,
) -> Result<Vec<UpperDirectory>, Failure> {
    let call = guest
        .send(HostMessage::Upper(UpperList { directories: directories.to_vec() }))
        .or_fail()?;
    let deadline = Instant::now() + PATIENCE;
    let asked: HashSet<&[u8]> = directories.iter().map(Vec::as_slice).collect();
    let mut answers: BTreeMap<Vec<u8>, UpperDirectory> = BTreeMap::new();
    let mut entries = 0;
    loop {
        match guest.receive(call, Some(deadline), Some(&context.cancel)).or_fail()? {
            GuestMessage::Upper(directory) => {
                if !asked.contains(directory.path.as_slice()) {
                    return Err(GuestError::Unexpected { call: "upper" }.into_failure());
                }
                entries += directory.entries.len();
                if entries > MOST {
                    return Err(too_many());
                }
                match answers.get_mut(&directory.path) {
                    Some(known) => known.entries.extend(directory.entries),
                    None => {
                        answers.insert(directory.path.clone(), directory);
                    }
                }
            }
            GuestMessage::Done => return Ok(answers.into_values().collect()),
            GuestMessage::Failed(refusal) => return Err(refusal.into_failure()),
            _ => return Err(GuestError::Unexpected { call: "upper" }.into_failure()),
        }
    }
}

fn too_many() -> Failure {
    Failure::new(Code::TooLarge, format!("more than {MOST} paths changed"))
        .hint("export the parts that matter with workspace_export, or workspace_reset")
}

/// A name that a directory can have: the guest's word is not taken for it.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name != b"."
        && name != b".."
        && !name.contains(&b'/')
        && !name.contains(&0)
}

impl Walk<'_> {
    fn directory(&mut self, directory: UpperDirectory) -> Result<(), Failure> {
        let UpperDirectory { path, opaque, entries } = directory;
        if opaque {
            let there: HashSet<&[u8]> = entries.iter().map(|entry| entry.name.as_slice()).collect();
            for name in self.baseline.names(&path)? {
                if !there.contains(name.as_slice()) {
                    self.gone(&join(&path, &name))?;
                }
            }
        }
        for entry in entries {
            if !is_name(&entry.name) {
                return Err(GuestError::Unexpected { call: "upper" }.into_failure());
            }
            if entry.name != b".git" {
                self.entry(&path, entry)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, directory: &[u8], entry: UpperEntry) -> Result<(), Failure> {
        let path = join(directory, &entry.name);
        let is_directory = matches!(entry.now, UpperKind::Directory { .. });
        if self.baseline.is_ignored(&path, is_directory) {
            self.ignored += 1;
            return self.displaced(&path, is_directory);
        }
        match entry.now {
            UpperKind::Whiteout => self.gone(&path)?,
            UpperKind::Directory { .. } => {
                // A directory in place of the seed's file: that file is gone.
                if let Some(old) = self.baseline.side(&path)? {
                    self.add(Changed {
                        path: path.clone(),
                        old: Some(old),
                        new: None,
                        same_content: false,
                    })?;
                }
                self.next.push(path);
            }
            UpperKind::File { bytes, mode, against_seed } => {
                let new = Side::File { bytes, executable: mode & 0o111 != 0 };
                self.file(path, new, against_seed)?;
            }
            UpperKind::Link { target, against_seed } => {
                if target.is_empty() || target.len() > 4_096 {
                    return Err(GuestError::Unexpected { call: "upper" }.into_failure());
                }
                self.file(path, Side::Link { target }, against_seed)?;
            }
            UpperKind::Other => {
                self.others += 1;
                self.gone(&path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: Vec<u8>, new: Side, against_seed: AgainstSeed) -> Result<(), Failure> {
        let old = match against_seed {
            AgainstSeed::Absent => None,
            _ => self.baseline.side(&path)?,
        };
        let same_content = against_seed == AgainstSeed::SameContent;
        match &old {
            Some(old) if same_content && same_mode(old, &new) => return Ok(()),
            // The seed has a directory there: all that was in it is gone.
            None if against_seed == AgainstSeed::OtherType => self.gone(&path)?,
            _ => {}
        }
        self.add(Changed { path, old, new: Some(new), same_content })
    }

    /// Something ignored stands where the seed may have what is not: a directory `build/` in place
    /// of a file `build`, a file `x.log` in place of a directory with tracked files.
    fn displaced(&mut self, path: &[u8], by_directory: bool) -> Result<(), Failure> {
        if !by_directory {
            return self.gone_below(path);
        }
        match self.baseline.side(path)? {
            Some(old) if !self.baseline.is_ignored(path, false) => self.add(Changed {
                path: path.to_vec(),
                old: Some(old),
                new: None,
                same_content: false,
            }),
            _ => Ok(()),
        }
    }

    /// Whatever the seed has at a path, or below it, is gone.
    fn gone(&mut self, path: &[u8]) -> Result<(), Failure> {
        if path == b".git" || path.ends_with(b"/.git") {
            return Ok(());
        }
        if let Some(old) = self.baseline.side(path)? {
            return self.add(Changed {
                path: path.to_vec(),
                old: Some(old),
                new: None,
                same_content: false,
            });
        }
        self.gone_below(path)
    }

    /// All files that the seed has below a directory are gone; what is ignored is in no diff.
    fn gone_below(&mut self, path: &[u8]) -> Result<(), Failure> {
        for (below, old) in self.baseline.below(path)? {
            let inside_git = below.split(|b| *b == b'/').any(|part| part == b".git");
            if !inside_git && !self.baseline.is_ignored(&below, false) {
                self.add(Changed { path: below, old: Some(old), new: None, same_content: false })?;
            }
        }
        Ok(())
    }

    fn add(&mut self, changed: Changed) -> Result<(), Failure> {
        if self.files.len() >= MOST {
            return Err(too_many());
        }
        self.files.insert(changed.path.clone(), changed);
        Ok(())
    }
}

fn same_mode(old: &Side, new: &Side) -> bool {
    match (old, new) {
        (Side::File { executable: a, .. }, Side::File { executable: b, .. }) => a == b,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_protocol::{Decoder, GuestFrame, HostFrame, VERSION, encode};
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    /// A taken-over agent: it answers whatever it is asked with one directory.
    fn answering(path: &'static [u8]) -> Guest {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut decoder = Decoder::default();
            let mut bytes = vec![0; 64 << 10];
            while let Ok(read @ 1..) = theirs.read(&mut bytes) {
                decoder.push(&bytes[..read]);
                while let Some(frame) = decoder.next::<HostFrame>().unwrap() {
                    let path = path.to_vec();
                    let directory = UpperDirectory { path, opaque: false, entries: Vec::new() };
                    let answers = match frame.message {
                        HostMessage::Hello { .. } => {
                            vec![GuestMessage::Hello { version: VERSION, boot: [0; 16] }]
                        }
                        _ => vec![GuestMessage::Upper(directory), GuestMessage::Done],
                    };
                    let mut wire = Vec::new();
                    for message in answers {
                        encode(&GuestFrame { call: frame.call, message }, &mut wire).unwrap();
                    }
                    theirs.write_all(&wire).unwrap();
                }
            }
        });
        Guest::handshake(ours, Duration::from_secs(20)).unwrap()
    }

    #[test]
    fn a_guest_speaks_only_of_directories_that_it_was_asked_about() {
        let context = Context::new(crate::Door::Sdk, "/".into()).unwrap();
        // However many they are.
        for count in [1, 2_000] {
            let asked: Vec<Vec<u8>> = (0..count).map(|n| format!("d{n}").into_bytes()).collect();
            for path in [&b"../out"[..], b".git/hooks", b"d0/../..", b""] {
                let answer = ask(&mut answering(path), &asked, &context);
                assert!(answer.is_err(), "{:?}", String::from_utf8_lossy(path));
            }
            assert_eq!(ask(&mut answering(b"d0"), &asked, &context).unwrap().len(), 1);
        }
    }
}
