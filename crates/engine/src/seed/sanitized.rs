//! A git directory of our own making, on which the host's git may run over an untrusted checkout.
//!
//! It holds HEAD, the branch it names, packed refs, ignore rules and a copy of the index, under a
//! config that only says how to read the tree. Objects are reached through links to the fan-out
//! directories and packs, so that the repository's alternates are not followed. The checkout and
//! its `.git` are only read.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::SeedError;
use super::beneath::{Kind, Rooted, as_path, shown};
use super::git_dir::GitDirs;
use super::host_git::HostGit;
use super::index;
use super::refs::Refs;
use super::repo_config::RepoConfig;
use super::status::Status;

/// The stand-in for a checkout's git directory.
pub(crate) struct Sanitized {
    git: HostGit,
    dir: PathBuf,
    work: PathBuf,
    excludes: PathBuf,
    /// The index, whole: never split or sparse.
    pub(crate) index: Vec<u8>,
    /// When the index was written; entries as young as it are compared by content.
    pub(crate) index_time: (i64, u32),
    /// 20 or 32.
    pub(crate) oid_len: usize,
}

impl Sanitized {
    /// Makes it as `name` in the scratch directory.
    pub(crate) fn make(
        git: &HostGit,
        name: &str,
        work: &Rooted,
        dirs: &GitDirs,
        refs: &Refs,
        config: &RepoConfig,
        excludes: Option<&Path>,
    ) -> Result<Self, SeedError> {
        let dir = git.scratch_file(name);
        let what = work.path().display().to_string();
        let oid_len =
            if config.last("extensions.objectformat") == Some(b"sha256") { 32 } else { 20 };
        let mut made = Self {
            git: git.clone(),
            dir,
            work: work.path().to_owned(),
            excludes: excludes.map_or_else(|| "/dev/null".into(), Path::to_owned),
            index: Vec::new(),
            index_time: (0, 0),
            oid_len,
        };
        made.write("config", config.core_text(&what)?.as_bytes())?;
        made.write("HEAD", &refs.head)?;
        let branch = refs.branch().unwrap_or(b"");
        for (path, bytes) in &refs.files {
            // Other branches do not matter to status; there may be many thousands of them.
            if path == branch || !path.starts_with(b"refs/") {
                made.write(as_path(path), bytes)?;
            }
        }
        made.link_objects(dirs.common())?;
        made.take_index(dirs)?;
        Ok(made)
    }

    fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<(), SeedError> {
        let path = self.dir.join(name);
        let parent = path.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, bytes))
            .map_err(|source| SeedError::io("write", &path, source))
    }

    fn link_objects(&self, common: &Rooted) -> Result<(), SeedError> {
        for place in ["objects", "refs", "info"] {
            let path = self.dir.join(place);
            std::fs::create_dir_all(&path)
                .map_err(|source| SeedError::io("create", &path, source))?;
        }
        let source = |error| SeedError::source(&common.join(b"objects"), error);
        let names = common.names_in(b"objects").map_err(source)?;
        for name in names.iter().filter(|name| name.kind == Kind::Directory) {
            if name.name == b"pack" || is_fan_out(&name.name) {
                let place = as_path(&name.name);
                let link = self.dir.join("objects").join(&place);
                symlink(common.join(b"objects").join(place), &link)
                    .map_err(|source| SeedError::io("link", &link, source))?;
            }
        }
        Ok(())
    }

    fn take_index(&mut self, dirs: &GitDirs) -> Result<(), SeedError> {
        let Some(contents) = dirs.own.read(b"index", index::INDEX_MOST)? else { return Ok(()) };
        self.index = contents.bytes;
        self.index_time = (contents.stat.st_mtime, contents.stat.st_mtime_nsec as u32);
        self.write("index", &self.index)?;
        self.date_index()?;
        let end = index::for_each(&self.index, self.oid_len, |_| Ok(()))?;
        if !index::needs_expanding(&self.index, self.oid_len, end) {
            return Ok(());
        }
        let source = |error| SeedError::source(dirs.own.path(), error);
        for name in dirs.own.names().map_err(source)? {
            if name.name.starts_with(b"sharedindex.")
                && let Some(shared) = dirs.own.read(&name.name, index::INDEX_MOST)?
            {
                self.write(as_path(&name.name), &shared.bytes)?;
            }
        }
        let mut command = self.command();
        command.args(["-c", "core.splitIndex=false", "-c", "index.sparse=false"]);
        command.args(["update-index", "--no-split-index", "--force-write-index"]);
        self.git.run_ok(&self.what(), command)?;
        let path = self.dir.join("index");
        self.index = std::fs::read(&path).map_err(|e| SeedError::io("read", &path, e))?;
        self.date_index()
    }

    /// Git judges by the age of the index which entries it can trust.
    fn date_index(&self) -> Result<(), SeedError> {
        let path = self.dir.join("index");
        let (tv_sec, nanoseconds) = self.index_time;
        let time = rustix::fs::Timespec { tv_sec, tv_nsec: nanoseconds.into() };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::empty())
            .map_err(|errno| SeedError::io("date", &path, errno))
    }

    fn what(&self) -> String {
        self.work.display().to_string()
    }

    /// A command on this git directory and the checkout's files.
    fn command(&self) -> Command {
        let mut command = self.git.in_git_dir(&self.dir, Some(&self.work));
        command.arg("-c").arg({
            let mut option = std::ffi::OsString::from("core.excludesFile=");
            option.push(&self.excludes);
            option
        });
        command
    }

    /// What differs, is untracked or ignored, below `prefix`; and the directories that git could
    /// not read.
    pub(crate) fn status(&self, prefix: &[u8]) -> Result<(Status, Vec<String>), SeedError> {
        let mut command = self.command();
        command.args(["status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind"]);
        command.args(["--untracked-files=all", "--ignored=matching", "--no-renames"]);
        command.args(["--ignore-submodules=all", "--"]);
        if !prefix.is_empty() {
            command.arg(as_path(prefix));
        }
        let finished = self.git.run_ok(&self.what(), command)?;
        let unreadable = finished.stderr.lines().filter_map(|line| {
            let rest = line.strip_prefix("warning: could not open directory '")?;
            Some(rest.split_once("': ")?.0.trim_end_matches('/').to_owned())
        });
        Ok((Status::parse(&finished.stdout)?, unreadable.take(1000).collect()))
    }

    /// Tracked paths and untracked ones that are not ignored.
    pub(crate) fn files(&self) -> Result<Vec<Vec<u8>>, SeedError> {
        let mut command = self.command();
        command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let finished = self.git.run_ok(&self.what(), command)?;
        let mut paths: Vec<Vec<u8>> =
            finished.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        paths.retain(|path| !path.is_empty());
        paths.sort_unstable();
        paths.dedup();
        Ok(paths)
    }
}

/// The name of a directory of loose objects.
pub(crate) fn is_fan_out(name: &[u8]) -> bool {
    name.len() == 2 && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A path list's entry that stands for a whole directory, without its slash.
pub(crate) fn as_directory(path: &[u8]) -> Option<&[u8]> {
    path.strip_suffix(b"/")
}

/// Quotes a path so that a person can paste it behind a flag.
pub(crate) fn pasteable(path: &[u8]) -> String {
    let text = shown(path);
    let mut glob = String::new();
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            glob.push('\\');
        }
        glob.push(letter);
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@%=:,".contains(letter);
    if glob.chars().all(plain) { glob } else { format!("'{}'", glob.replace('\'', r"'\''")) }
}
