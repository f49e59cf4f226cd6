//! The state of a Git checkout: what a layer of it holds, and the key that names that state.
//!
//! One `git status` over a sanitized git directory says what differs from the index; the index
//! says the rest, so a known state is recognised without touching each file. Paths from the index
//! and from git are untrusted: those that are not plain are skipped and listed. Submodules bring
//! their working files by the same rules, as plain files; other repositories inside the tree stay
//! out unless included.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::SeedError;
use super::beneath::{Rooted, child, is_plain_path, lies_in, shown};
use super::copying::file_clock;
use super::facts::{NotSeeded, SeedOptions, Skipped};
use super::git_dir::GitDirs;
use super::host_git::HostGit;
use super::ignore_rules::{OuterIgnore, outer_ignores};
use super::include::EXPORTS;
use super::index;
use super::listing::{ABSENT, Entry, Found, From, Identity, TRACKED, identity};
use super::refs::Refs;
use super::repo_config::RepoConfig;
use super::sanitized::Sanitized;
use super::status::Status;

/// A checkout as it is now.
pub(crate) struct Checkout {
    /// The directory that becomes the tree's root.
    pub(crate) seed_root: Rooted,
    /// Where that lies below the checkout's root.
    pub(crate) prefix: Vec<u8>,
    pub(crate) dirs: GitDirs,
    pub(crate) refs: Refs,
    pub(crate) clean_config: String,
    pub(crate) sanitized: Sanitized,
    pub(crate) status: Status,
    pub(crate) key: Sha256,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) not_seeded: Vec<NotSeeded>,
    pub(crate) notices: Vec<String>,
    /// Ignore rules that hold in the tree and do not lie in it.
    pub(crate) outer: Vec<OuterIgnore>,
    /// When listing began, by the clock that dates files.
    pub(crate) listed_at: rustix::fs::Timespec,
    /// Paths that are not simply what the index says, with what stands there.
    pub(super) observed: BTreeMap<Vec<u8>, Observed>,
    pub(super) depth: usize,
}

/// A path that the index does not vouch for.
pub(super) struct Observed {
    pub(super) found: Option<Found>,
    pub(super) tracked: bool,
}

/// What a pass over the index leaves for a closer look.
#[derive(Default)]
pub(super) struct IndexPass {
    pub(super) unwatched: Vec<Vec<u8>>,
    pub(super) submodules: Vec<Vec<u8>>,
}

impl Checkout {
    /// Reads the state of the checkout at `work`, below `prefix`.
    pub(crate) fn read(
        work: &Rooted,
        prefix: &[u8],
        dirs: GitDirs,
        git: &HostGit,
        options: &SeedOptions,
    ) -> Result<Self, SeedError> {
        let what = work.path().display().to_string();
        let config = RepoConfig::read(git, dirs.common(), Some(&dirs.own))?;
        let clean_config = config.clean_text(&what)?;
        let refs = Refs::read(&dirs)?;
        let excludes = options.user_ignore_file.as_deref();
        let sanitized = Sanitized::make(git, "git", work, &dirs, &refs, &config, excludes)?;
        let seed_root = work
            .directory(prefix)
            .and_then(|dir| dir.ok_or(std::io::ErrorKind::NotFound.into()))
            .map_err(|source| SeedError::source(&work.join(prefix), source))?;

        let outer = outer_ignores(work, prefix, refs.file(b"info/exclude"), excludes)?;
        let listed_at = file_clock();

        let mut key = Sha256::new();
        key.update(b"checkout\0");
        feed(&mut key, prefix);
        let (status, pass) = std::thread::scope(|scope| {
            let running = scope.spawn(|| sanitized.status(prefix));
            let pass = pass_index(&sanitized, prefix, &mut key);
            let status = running.join().unwrap_or_else(|_| {
                Err(SeedError::failed(&what, "reading git's answer was interrupted"))
            });
            (status, pass)
        });
        let (status, unreadable) = status.map_err(|error| explain(error, &dirs))?;
        let pass = pass?;
        let mut checkout = Self {
            seed_root,
            prefix: prefix.to_vec(),
            dirs,
            refs,
            clean_config,
            sanitized,
            status,
            key,
            skipped: Vec::new(),
            not_seeded: Vec::new(),
            notices: Vec::new(),
            outer,
            listed_at,
            observed: BTreeMap::new(),
            depth: options.limits.depth,
        };
        for path in unreadable {
            checkout.skip(path.as_bytes(), "cannot be read");
        }
        checkout.observe(work, pass, git, options)?;
        checkout.finish_key();
        Ok(checkout)
    }

    /// Whether the whole checkout is seeded, and its `.git` with it.
    pub(crate) fn is_whole(&self) -> bool {
        self.prefix.is_empty()
    }

    /// A path from the checkout's root as one from the seed's root.
    pub(crate) fn own<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        if self.prefix.is_empty() { path } else { path.get(self.prefix.len() + 1..).unwrap_or(b"") }
    }

    pub(super) fn skip(&mut self, path: &[u8], reason: impl Into<String>) {
        let path = shown(self.own(path));
        self.skipped.push(Skipped { path, reason: reason.into() });
    }

    fn finish_key(&mut self) {
        let key = &mut self.key;
        feed(key, self.status.commit.as_deref().unwrap_or("").as_bytes());
        if self.prefix.is_empty() {
            feed(key, &self.refs.head);
            feed(key, self.clean_config.as_bytes());
            for (path, bytes) in &self.refs.files {
                feed(key, path);
                feed(key, bytes);
            }
        }
        for ignore in &self.outer {
            feed(key, ignore.dir.as_bytes());
            feed(key, ignore.text.as_bytes());
        }
        for (path, observed) in &self.observed {
            feed(key, path);
            match &observed.found {
                Some(found) => found.feed(key),
                None => key.update(b"-"),
            }
        }
        // What differs from HEAD is kept beside the tree and follows from the above, but for
        // untracked files that an include names: tell the two apart.
        for path in &self.status.untracked {
            feed(key, path);
        }
    }

    /// Whether git's rules give the seeded directory any file.
    pub(crate) fn holds_anything(&self) -> Result<bool, SeedError> {
        if self.observed.values().any(|observed| observed.found.is_some()) {
            return Ok(true);
        }
        Ok(self.entries()?.0.iter().any(|entry| entry.flags & ABSENT == 0))
    }

    /// Every path of the tree, without `.git`, sorted.
    pub(crate) fn entries(&self) -> Result<(Vec<Entry>, Vec<Skipped>), SeedError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut skipped = Vec::new();
        let prefix = self.prefix.as_slice();
        index::for_each(&self.sanitized.index, self.sanitized.oid_len, |tracked| {
            if !lies_in(tracked.path, prefix) || is_exports(tracked.path, prefix) {
                return Ok(());
            }
            if tracked.is_gitlink() || self.observed.contains_key(tracked.path) {
                return Ok(());
            }
            let path = self.own(tracked.path).to_vec();
            if !is_plain_path(tracked.path, self.depth) {
                skipped
                    .push(Skipped { path: shown(&path), reason: "its name is not allowed".into() });
            } else if tracked.skip_worktree {
                entries.push(absent(path));
            } else {
                entries.push(Entry {
                    path,
                    identity: blob_identity(tracked),
                    flags: TRACKED,
                    from: From::Work,
                    size: u64::from(tracked.size),
                });
            }
            Ok(())
        })?;
        for (path, observed) in &self.observed {
            let path = self.own(path).to_vec();
            match &observed.found {
                Some(found) => entries.push(Entry {
                    path,
                    identity: found.identity(),
                    flags: if observed.tracked { TRACKED } else { 0 },
                    from: From::Work,
                    size: found.size,
                }),
                None if observed.tracked => entries.push(absent(path)),
                None => {}
            }
        }
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|a, b| a.path == b.path);
        Ok((entries, skipped))
    }

    /// Paths that differ from HEAD, from the seed's root, with what HEAD has there.
    pub(crate) fn head_dirty(&self) -> Vec<super::HeadDirty> {
        let changed = self.status.changed.iter().map(|one| (&one.path, one.head.clone()));
        let untracked = self.status.untracked.iter().map(|path| (path, None));
        changed
            .chain(untracked)
            .filter(|(path, _)| is_plain_path(path, self.depth) && !is_exports(path, &self.prefix))
            .map(|(path, head)| super::HeadDirty { path: self.own(path).to_vec(), head })
            .collect()
    }
}

fn absent(path: Vec<u8>) -> Entry {
    let flags = TRACKED | ABSENT;
    Entry { path, identity: Identity::default(), flags, from: From::Nowhere, size: 0 }
}

fn blob_identity(tracked: &index::IndexEntry<'_>) -> Identity {
    identity(&[b"blob", &tracked.mode.to_le_bytes(), tracked.oid, &tracked.size.to_le_bytes()])
}

pub(super) fn is_exports(path: &[u8], prefix: &[u8]) -> bool {
    lies_in(path, EXPORTS) || (!prefix.is_empty() && lies_in(path, &child(prefix, EXPORTS)))
}

fn feed(key: &mut Sha256, bytes: &[u8]) {
    key.update((bytes.len() as u64).to_le_bytes());
    key.update(bytes);
}

/// Feeds the index to the key, without what a mere refresh of it changes.
fn pass_index(
    sanitized: &Sanitized,
    prefix: &[u8],
    key: &mut Sha256,
) -> Result<IndexPass, SeedError> {
    let mut pass = IndexPass::default();
    let mut buffer = Vec::with_capacity(80 << 10);
    index::for_each(&sanitized.index, sanitized.oid_len, |entry| {
        if !lies_in(entry.path, prefix) {
            return Ok(());
        }
        buffer.extend_from_slice(&entry.mode.to_le_bytes());
        // The recorded size tells a large file from its pointer, and line endings apart.
        buffer.extend_from_slice(&entry.size.to_le_bytes());
        buffer.extend_from_slice(entry.oid);
        buffer.push(entry.stage | u8::from(entry.skip_worktree) << 2);
        buffer.extend_from_slice(entry.path);
        buffer.push(0);
        if buffer.len() > 64 << 10 {
            key.update(&buffer);
            buffer.clear();
        }
        if entry.is_gitlink() {
            pass.submodules.push(entry.path.to_vec());
        } else if entry.unwatched {
            pass.unwatched.push(entry.path.to_vec());
        }
        Ok(())
    })?;
    key.update(&buffer);
    Ok(pass)
}

/// Says what to do where objects are missing because they are borrowed.
fn explain(error: SeedError, dirs: &GitDirs) -> SeedError {
    let borrowed = dirs.common().kind(b"objects/info/alternates");
    match error {
        SeedError::SourceFailed { what, detail } if matches!(borrowed, Ok(Some(_))) => {
            let detail = format!(
                "its objects lie in another repository (.git/objects/info/alternates), which is \
                 not followed; `git repack -a -d` there makes it whole ({detail})"
            );
            SeedError::SourceFailed { what, detail }
        }
        other => other,
    }
}
