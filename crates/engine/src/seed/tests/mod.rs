//! Seeding real repositories with the real git. Each test owns its temp folder.

mod checkouts;
mod deltas;
mod guarded;
mod hostile;
mod ignoring;
mod layers;
mod sources;

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{
    ArchiveUnpacker, SeedError, SeedLayer, SeedLimits, SeedOptions, SeedSource, Unpacked, prepare,
};

/// A temp folder with a project and a store.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("project")).unwrap();
        Self { dir }
    }

    /// A repository with a few committed files.
    fn repo() -> Self {
        let place = Self::empty();
        place.git(&["init", "-q", "-b", "main"]);
        for (name, text) in [
            ("README.md", "hello\n"),
            ("src/main.rs", "fn main() {}\n"),
            ("src/deep/er/x.rs", "x\n"),
            (".gitignore", "target/\n*.log\n.env\n"),
        ] {
            place.write(name, text);
        }
        place.write("run.sh", "#!/bin/sh\n");
        place.mode("run.sh", 0o755);
        std::os::unix::fs::symlink("README.md", place.at("link")).unwrap();
        place.git(&["add", "-A"]);
        place.git(&["commit", "-q", "-m", "first"]);
        place
    }

    fn project(&self) -> PathBuf {
        self.dir.path().join("project").canonicalize().unwrap()
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("layers")
    }

    fn trash(&self) -> PathBuf {
        self.dir.path().join("trash")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.project().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.at(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn git(&self, args: &[&str]) -> String {
        let output = git_in(&self.project(), args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn seed_with(&self, options: &SeedOptions) -> Result<SeedLayer, SeedError> {
        // Files count as changing until the coarse clock that dates them has passed them by.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        while super::copying::file_clock() <= now {
            std::hint::spin_loop();
        }
        prepare(&SeedSource::Checkout { path: self.project() }, options, &self.store(), &NoArchives)
    }

    fn seed(&self) -> SeedLayer {
        self.seed_with(&SeedOptions::default()).unwrap()
    }

    fn include(&self, globs: &[&str]) -> SeedLayer {
        let include = globs.iter().map(|glob| (*glob).to_owned()).collect();
        self.seed_with(&SeedOptions { include, ..SeedOptions::default() }).unwrap()
    }
}

fn git_in(dir: &Path, args: &[&str]) -> Output {
    Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap()
}

/// For sources that are no archives.
struct NoArchives;

impl ArchiveUnpacker for NoArchives {
    fn unpack(
        &self,
        _: std::fs::File,
        _: &Path,
        _: &Path,
        _: &SeedLimits,
    ) -> Result<Unpacked, SeedError> {
        Err(SeedError::failed("an archive", "no archive was expected"))
    }
}

/// One thing of a tree: kind and mode, content or target, modification time of files.
type Thing = (String, Vec<u8>, i128);

/// Everything below a directory.
fn listing(root: &Path) -> BTreeMap<String, Thing> {
    let mut found = BTreeMap::new();
    add(root, "", &mut found);
    found
}

fn add(root: &Path, at: &str, found: &mut BTreeMap<String, Thing>) {
    for entry in std::fs::read_dir(root.join(at)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let rel = if at.is_empty() { name } else { format!("{at}/{name}") };
        let path = root.join(&rel);
        let metadata = path.symlink_metadata().unwrap();
        let time = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        let kind = metadata.file_type();
        let thing = if kind.is_symlink() {
            let target = std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes();
            ("link".to_owned(), target, time)
        } else if kind.is_dir() {
            add(root, &rel, found);
            (format!("dir {:o}", metadata.mode() & 0o7777), Vec::new(), 0)
        } else if kind.is_file() {
            let mode = format!("file {:o}", metadata.mode() & 0o7777);
            (mode, std::fs::read(&path).unwrap(), time)
        } else if kind.is_char_device() && metadata.rdev() == 0 {
            ("whiteout".to_owned(), Vec::new(), 0)
        } else {
            ("other".to_owned(), Vec::new(), 0)
        };
        found.insert(rel, thing);
    }
}

/// The merged tree as an overlay mount would show it.
fn merged(layer: &SeedLayer) -> BTreeMap<String, Thing> {
    let mut merged = BTreeMap::new();
    for tree in layer.layers.iter().rev() {
        for (path, thing) in listing(tree) {
            if !thing.0.starts_with("dir") {
                let below = format!("{path}/");
                merged.retain(|name: &String, _| !name.starts_with(&below));
            }
            if thing.0 == "whiteout" {
                assert!(merged.remove(&path).is_some(), "a whiteout over nothing: {path}");
            } else {
                merged.insert(path, thing);
            }
        }
    }
    merged
}

/// The merged tree without `.git`, files and links only.
fn files(layer: &SeedLayer) -> Vec<String> {
    merged(layer)
        .into_iter()
        .filter(|(path, thing)| !thing.0.starts_with("dir") && !path.starts_with(".git/"))
        .map(|(path, _)| path)
        .collect()
}

/// Writes the merged tree out, so that git can look at it.
fn materialise(layer: &SeedLayer, into: &Path) {
    for tree in layer.layers.iter().rev() {
        for (path, (kind, _, _)) in listing(tree) {
            let (from, to) = (tree.join(&path), into.join(&path));
            let old = to.symlink_metadata();
            match (kind.as_str(), old) {
                (kind, Ok(old)) if old.is_dir() && !kind.starts_with("dir") => {
                    std::fs::remove_dir_all(&to).unwrap();
                }
                (kind, Ok(old)) if !(old.is_dir() && kind.starts_with("dir")) => {
                    std::fs::remove_file(&to).unwrap();
                }
                _ => {}
            }
            if kind.starts_with("dir") {
                std::fs::create_dir_all(&to).unwrap();
            } else if kind != "whiteout" {
                let status = Command::new("cp").arg("-a").arg(&from).arg(&to).status().unwrap();
                assert!(status.success());
            }
        }
    }
}

fn text(layer: &SeedLayer, path: &str) -> String {
    String::from_utf8(merged(layer)[path].1.clone()).unwrap()
}
