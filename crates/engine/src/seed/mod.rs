//! Seeding: from a project to an immutable layer that every workspace of that state shares.
//!
//! [`prepare`] reads the source's state, makes a key from it and returns the layer of that key,
//! building it when nobody has yet. In a Git checkout the tree holds tracked files as they are on
//! disk, untracked files that are not ignored, and what include globs name, with a `.git` written
//! clean; elsewhere it holds the directory, the archive or the clone. The source is only read,
//! nothing in it can run a program on the host, and nothing leads out of it.
//!
//! ```text
//! <store>/<key>/tree            an overlay lower: the whole tree, or a delta over `base`
//! <store>/<key>/seed.json       SeedFacts, written last
//! <store>/<key>/manifest        the merged tree's paths, for deltas and for "is it tracked"
//! <store>/<key>/head-dirty      what differed from HEAD (Git only), with head-git/ to read blobs
//! <store>/<key>/outer-ignores.json   ignore rules that do not lie in the tree (Git only)
//! ```

mod archive;
mod assemble;
mod beneath;
mod checkout;
mod copying;
mod directory;
mod error;
mod facts;
mod git_dir;
mod git_files;
mod head;
mod host_git;
mod ignore_rules;
mod ignored;
mod include;
mod index;
mod listing;
mod locks;
mod manifest;
mod observing;
mod refs;
mod remote;
mod repo_config;
mod sanitized;
mod status;
mod store;
mod submodules;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub(crate) use self::beneath::open_settled;
pub use self::error::SeedError;
pub use self::facts::{
    ArchiveUnpacker, FORMAT, NotSeeded, OriginKind, SeedFacts, SeedLayer, SeedLimits, SeedOptions,
    SeedSource, Skipped, Unpacked,
};
pub use self::git_dir::{find_checkout, is_bare_repository, looks_like_checkout};
pub use self::head::{HeadDirty, head_dirty, read_head_blob};
pub use self::ignore_rules::{IgnoreMatcher, ignore_rules};
pub use self::include::looks_like_credential;
pub use self::remote::{check_address, without_user_info};
pub use self::store::{collect_unused, open_layer, sweep};

use self::assemble::Plan;
use self::beneath::{Rooted, shown};
use self::checkout::Checkout;
use self::git_dir::Located;
use self::host_git::HostGit;
use self::listing::hex;
use self::locks::{Building, Lease};

/// Returns the layer of the source's present state, building it when it is not there yet.
pub fn prepare(
    source: &SeedSource,
    options: &SeedOptions,
    store: &Path,
    unpacker: &dyn ArchiveUnpacker,
) -> Result<SeedLayer, SeedError> {
    let building = Building::begin(store)?;
    let job = Job { options, store, building };
    match source {
        SeedSource::Checkout { path } => job.checkout(path, true),
        SeedSource::Directory { path } => job.checkout(path, false),
        SeedSource::Archive { path } => job.archive(path, unpacker),
        SeedSource::Repo { url, reference } => job.repo(url, reference.as_deref()),
        SeedSource::None => job.nothing(),
    }
}

/// The ignore file that the user has for all repositories, if there is one where git looks for
/// it by default.
pub fn user_ignore_file(user_home: &Path) -> Option<PathBuf> {
    let base =
        std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let file = base.unwrap_or_else(|| user_home.join(".config")).join("git/ignore");
    file.is_file().then_some(file)
}

/// The canonical path of a source. One that is not canonical any more was swapped since it was
/// judged.
fn settled(path: &Path) -> Result<PathBuf, SeedError> {
    let now = path.canonicalize().map_err(|source| SeedError::source(path, source))?;
    if now == path {
        return Ok(now);
    }
    Err(SeedError::failed(path.display().to_string(), "a link stands in its place by now"))
}

struct Job<'a> {
    options: &'a SeedOptions,
    store: &'a Path,
    building: Building,
}

impl Job<'_> {
    fn git(&self) -> Result<HostGit, SeedError> {
        HostGit::find(&self.building.scratch(), self.options.git_deadline)
    }

    fn facts(&self, key: Sha256, origin_kind: OriginKind, origin_ref: Option<String>) -> SeedFacts {
        let mut whole = Sha256::new();
        whole.update(format!("pyro-seed {FORMAT}\0{}\0", origin_kind.as_str()));
        whole.update(key.finalize());
        SeedFacts {
            format: FORMAT,
            key: hex(&whole.finalize()),
            base: None,
            origin_kind,
            origin_ref,
            commit: None,
            dirty: false,
            files: 0,
            bytes: 0,
            git_rules: false,
            has_git: false,
            prefix: String::new(),
            skipped: Vec::new(),
            skipped_more: 0,
            not_seeded: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Finds the layer of the facts' key, or builds it under the key's lock, so that two calls at
    /// once do the work once. What is true of this call only replaces what was stored.
    fn find_or_build(
        &self,
        facts: SeedFacts,
        build: impl FnOnce(SeedFacts) -> Result<SeedFacts, SeedError>,
    ) -> Result<SeedLayer, SeedError> {
        let key = facts.key.clone();
        let now = facts.clone();
        let lease = Lease::wait(self.store, &key, false)?;
        if let Some(layer) = store::open_with(self.store, &key, lease)? {
            return Ok(fresh(layer, now));
        }
        let lease = Lease::wait(self.store, &key, true)?;
        if store::read_facts(self.store, &key)?.is_none() {
            let home = self.store.join(&key);
            if home.exists() {
                // A layer of another format: out of the way, and away with this build.
                let aside = self.building.dir.join("outdated");
                std::fs::rename(&home, &aside)
                    .map_err(|source| SeedError::io("rename", &home, source))?;
            }
            let built = build(facts)?;
            if built.key != key {
                lease.remove();
                return open_layer(self.store, &built.key);
            }
        }
        lease.share()?;
        match store::open_with(self.store, &key, lease)? {
            Some(layer) => Ok(fresh(layer, now)),
            None => open_layer(self.store, &key),
        }
    }

    fn checkout(&self, path: &Path, is_default: bool) -> Result<SeedLayer, SeedError> {
        let path = settled(path)?;
        self.refuse_too_wide(&path, is_default)?;
        let mut notices = Vec::new();
        if let Some(around) = find_checkout(&path) {
            let work = Rooted::open_settled(&around).map_err(|e| SeedError::source(&around, e))?;
            let git = self.git()?;
            match git_dir::locate(&work, &git)? {
                Located::Git(dirs) => {
                    let prefix = path.strip_prefix(&around).unwrap_or(Path::new(""));
                    let prefix = prefix.as_os_str().as_encoded_bytes();
                    let state = Checkout::read(&work, prefix, dirs, &git, self.options)?;
                    if state.is_whole() || state.holds_anything()? {
                        return self.git_checkout(&state, &path);
                    }
                    // The user named a directory that git ignores as a whole: taken as it is.
                    notices.push("Git ignores this directory; all of it was taken".to_owned());
                    return self.directory(&path, notices, self.options.guarded);
                }
                Located::Refused(why) if is_default && self.options.guarded => {
                    return Err(SeedError::failed(path.display().to_string(), why));
                }
                Located::Refused(why) => {
                    notices.push(format!("seeded as a plain directory, not as a checkout: {why}"));
                }
                Located::Nothing => {}
            }
        }
        self.directory(&path, notices, false)
    }

    fn refuse_too_wide(&self, path: &Path, is_default: bool) -> Result<(), SeedError> {
        let home = self.options.user_home.as_deref().and_then(|home| home.canonicalize().ok());
        let why = if path == Path::new("/") {
            "it is the whole file system; name a part with --seed-path DIR, or use --no-seed"
        } else if is_default && home.as_deref() == Some(path) {
            "it is the home directory; name a part with --seed-path DIR, or use --no-seed"
        } else {
            return Ok(());
        };
        Err(SeedError::InvalidArgument { what: path.display().to_string(), why: why.into() })
    }

    fn git_checkout(&self, state: &Checkout, path: &Path) -> Result<SeedLayer, SeedError> {
        let kind = if state.is_whole() { OriginKind::Checkout } else { OriginKind::Directory };
        let origin_ref = path.display().to_string();
        let mut facts = self.facts(state.key.clone(), kind, Some(origin_ref));
        describe(&mut facts, state);
        let origin = hex(&Sha256::digest(path.as_os_str().as_encoded_bytes()));
        self.find_or_build(facts, |facts| self.build_checkout(state, facts, Some(origin)))
    }

    fn build_checkout(
        &self,
        state: &Checkout,
        mut facts: SeedFacts,
        origin: Option<String>,
    ) -> Result<SeedFacts, SeedError> {
        let (mut entries, skipped) = state.entries()?;
        facts.skipped.extend(skipped);
        facts.skipped.extend(assemble::strange_neighbours(&state.seed_root, &entries));
        if state.is_whole() {
            entries.extend(git_files::entries(state)?);
        }
        assemble::assemble(Plan {
            store: self.store,
            building: &self.building,
            listed_at: origin.is_some().then_some(state.listed_at),
            origin,
            entries,
            work: &state.seed_root,
            git: Some(state.dirs.common()),
            limits: self.options.limits,
            facts,
            head_dirty: state.head_dirty(),
            outer: state.outer.clone(),
            oid_len: state.sanitized.oid_len,
        })
    }

    fn directory(
        &self,
        path: &Path,
        notices: Vec<String>,
        guarded: bool,
    ) -> Result<SeedLayer, SeedError> {
        let root = Rooted::open_settled(path).map_err(|source| SeedError::source(path, source))?;
        let listed_at = copying::file_clock();
        let plain = directory::read(&root, &self.options.limits, guarded)?;
        let origin_ref = path.display().to_string();
        let mut facts = self.facts(plain.key, OriginKind::Directory, Some(origin_ref));
        facts.notices = notices;
        facts.skipped = plain.skipped;
        let origin = hex(&Sha256::digest(path.as_os_str().as_encoded_bytes()));
        self.find_or_build(facts, |facts| {
            assemble::assemble(Plan {
                store: self.store,
                building: &self.building,
                origin: Some(origin),
                entries: plain.entries,
                work: &root,
                git: None,
                listed_at: Some(listed_at),
                limits: self.options.limits,
                facts,
                head_dirty: Vec::new(),
                outer: Vec::new(),
                oid_len: 20,
            })
        })
    }

    fn archive(&self, path: &Path, unpacker: &dyn ArchiveUnpacker) -> Result<SeedLayer, SeedError> {
        let path = settled(path)?;
        let (archive, key) = archive::open(&path, self.options.limits.bytes)?;
        let facts = self.facts(key, OriginKind::Archive, Some(path.display().to_string()));
        self.find_or_build(facts, |mut facts| {
            let tree = self.tree()?;
            let unpacked = unpacker.unpack(archive, &path, &tree, &self.options.limits)?;
            (facts.files, facts.bytes) = (unpacked.files, unpacked.bytes);
            facts.skipped.extend(unpacked.skipped);
            self.publish_plain(facts)
        })
    }

    fn repo(&self, url: &str, reference: Option<&str>) -> Result<SeedLayer, SeedError> {
        let git = self.git()?;
        let mut remote = remote::Remote::resolve(url, reference, &git, self.options)?;
        let mut facts = self.facts(remote.key(), OriginKind::Repo, Some(remote.url.clone()));
        facts.commit = Some(remote.commit.clone());
        self.find_or_build(facts, |mut facts| {
            let path = remote.clone_into(&self.building.scratch(), &git, self.options)?;
            let work = Rooted::open(&path).map_err(|e| SeedError::io("open", &path, e))?;
            let Located::Git(dirs) = git_dir::locate(&work, &git)? else {
                return Err(SeedError::failed(&remote.url, "the clone is no checkout"));
            };
            let options = SeedOptions { include: Vec::new(), ..self.options.clone() };
            let state = Checkout::read(&work, b"", dirs, &git, &options)?;
            describe(&mut facts, &state);
            self.build_checkout(&state, facts, None)
        })
    }

    fn nothing(&self) -> Result<SeedLayer, SeedError> {
        let facts = self.facts(Sha256::new(), OriginKind::None, None);
        self.find_or_build(facts, |facts| {
            self.tree()?;
            self.publish_plain(facts)
        })
    }

    fn tree(&self) -> Result<PathBuf, SeedError> {
        let layer = self.building.layer();
        locks::private_dir(&layer, false).map_err(|e| SeedError::io("create", &layer, e))?;
        assemble::make_tree(&layer)
    }

    fn publish_plain(&self, mut facts: SeedFacts) -> Result<SeedFacts, SeedError> {
        assemble::trim(&mut facts);
        assemble::publish(self.store, &self.building, &facts)?;
        Ok(facts)
    }
}

fn describe(facts: &mut SeedFacts, state: &Checkout) {
    facts.commit.clone_from(&state.status.commit);
    facts.dirty = !(state.status.changed.is_empty() && state.status.untracked.is_empty());
    facts.git_rules = true;
    facts.has_git = state.is_whole();
    facts.prefix = shown(&state.prefix);
    facts.skipped.clone_from(&state.skipped);
    facts.not_seeded.clone_from(&state.not_seeded);
    facts.notices.clone_from(&state.notices);
}

/// A found layer as this call sees it: another checkout of the same state shares the tree, and
/// what stayed out may have changed.
fn fresh(mut layer: SeedLayer, now: SeedFacts) -> SeedLayer {
    let facts = &mut layer.facts;
    facts.origin_ref = now.origin_ref;
    facts.not_seeded = now.not_seeded;
    facts.notices = now.notices;
    layer
}
