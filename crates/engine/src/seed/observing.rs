//! The closer look at a checkout: every path for which the index does not speak.
//!
//! Changed, untracked, included and submodule files are looked up one by one, without following
//! links; what cannot come along is listed with its reason, large ignored directories with the
//! flag that adds them, and untracked files that look like credentials by name.

use super::SeedError;
use super::beneath::{Kind, Rooted, file_name, is_plain_path, lies_in, shown};
use super::checkout::{Checkout, IndexPass, Observed, is_exports};
use super::facts::{NotSeeded, SeedOptions};
use super::host_git::HostGit;
use super::ignored::Measure;
use super::include::{Includes, looks_like_credential};
use super::listing::Found;
use super::sanitized::{as_directory, pasteable};
use super::submodules;

const NAMED_IN_NOTICES: usize = 20;

impl Checkout {
    /// Fills in what stands on disk, and what is to be said about it.
    pub(super) fn observe(
        &mut self,
        work: &Rooted,
        pass: IndexPass,
        git: &HostGit,
        options: &SeedOptions,
    ) -> Result<(), SeedError> {
        let on_disk: Vec<_> = self
            .status
            .changed
            .iter()
            .filter(|one| one.on_disk)
            .map(|one| one.path.clone())
            .collect();
        for path in on_disk.into_iter().chain(pass.unwatched) {
            self.look(work, path, true);
        }
        let includes = Includes::read(
            &options.include,
            &options.guarded_include,
            work,
            &self.prefix,
            &mut self.notices,
        )?;
        let mut brought = self.take_untracked(work, &includes, options)?;
        brought.extend(self.take_ignored(work, &includes, options)?);
        self.name_credentials(&brought);
        for path in brought {
            self.look(work, path, false);
        }
        for path in pass.submodules {
            match submodules::files(work, &path, git, options)? {
                Ok(files) => files.into_iter().for_each(|file| self.look(work, file, true)),
                Err(Some(reason)) => self.skip(&path, reason),
                Err(None) => {}
            }
        }
        Ok(())
    }

    /// Untracked files, and included ones of other repositories inside.
    fn take_untracked(
        &mut self,
        work: &Rooted,
        includes: &Includes,
        options: &SeedOptions,
    ) -> Result<Vec<Vec<u8>>, SeedError> {
        let mut brought = Vec::new();
        for path in std::mem::take(&mut self.status.untracked) {
            if let Some(repository) = as_directory(&path) {
                let (found, whole) =
                    includes.select(work, repository, true, options.limits.files)?;
                if !whole {
                    let flag = pasteable(self.own(repository));
                    let reason = format!("a Git repository of its own; --include {flag} adds it");
                    self.skip(repository, reason);
                }
                brought.extend(found);
                continue;
            }
            brought.push(path.clone());
            self.status.untracked.push(path);
        }
        Ok(brought)
    }

    /// Ignored files that an include names; the large rest is listed.
    fn take_ignored(
        &mut self,
        work: &Rooted,
        includes: &Includes,
        options: &SeedOptions,
    ) -> Result<Vec<Vec<u8>>, SeedError> {
        let mut brought = Vec::new();
        let mut measure = Measure::default();
        for path in &self.status.ignored {
            let dir = as_directory(path);
            let path = dir.unwrap_or(path);
            if !lies_in(path, &self.prefix) || path == self.prefix || is_exports(path, &self.prefix)
            {
                continue;
            }
            let (found, whole) =
                includes.select(work, path, dir.is_some(), options.limits.files)?;
            brought.extend(found);
            if dir.is_some()
                && !whole
                && let Some(bytes) = measure.at_least(work, path)
            {
                let own = self.own(path);
                let flag = format!("--include {}", pasteable(own));
                self.not_seeded.push(NotSeeded { path: shown(own), bytes, flag });
            }
        }
        Ok(brought)
    }

    fn name_credentials(&mut self, brought: &[Vec<u8>]) {
        let named: Vec<String> = brought
            .iter()
            .filter(|path| {
                looks_like_credential(file_name(path)) && !is_exports(path, &self.prefix)
            })
            .map(|path| shown(self.own(path)))
            .collect();
        if !named.is_empty() {
            let more = named.len().saturating_sub(NAMED_IN_NOTICES);
            let mut text = named[..named.len() - more].join(", ");
            if more > 0 {
                text += &format!(" and {more} more");
            }
            self.notices
                .push(format!("untracked files that look like credentials came along: {text}"));
        }
    }

    /// Notes what stands at a path that the index does not vouch for.
    fn look(&mut self, work: &Rooted, path: Vec<u8>, tracked: bool) {
        if !lies_in(&path, &self.prefix) || is_exports(&path, &self.prefix) {
            return;
        }
        if !is_plain_path(&path, self.depth) {
            return self.skip(&path, "its name is not allowed");
        }
        let found = match work.stat(&path) {
            Ok(Some(stat)) => match Kind::of(rustix::fs::FileType::from_raw_mode(stat.st_mode)) {
                Kind::File | Kind::Link => Some(Found::of(&stat)),
                Kind::Directory => None,
                Kind::Other(kind) => {
                    self.skip(&path, kind);
                    None
                }
            },
            Ok(None) => None,
            Err(error) => {
                self.skip(&path, format!("cannot be read: {error}"));
                None
            }
        };
        self.observed.insert(path, Observed { found, tracked });
    }
}
