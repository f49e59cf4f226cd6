//! An invented host: system directories and a home with every toolchain, and a secret at every
//! place where one usually lies. A file whose text is `SECRET` must never show.

mod extra_paths;
mod here;
mod places;
mod secrets;
mod skeletons;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{HostEnvironment, HostOptions, describe};

pub(super) struct FakeHost {
    temp: TempDir,
    pub(super) options: HostOptions,
}

impl FakeHost {
    /// A merged system and an empty home.
    pub(super) fn bare() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path().canonicalize().unwrap();
        for directory in ["root/usr/bin", "root/usr/lib", "root/etc", "home/u"] {
            fs::create_dir_all(at.join(directory)).unwrap();
        }
        symlink("usr/bin", at.join("root/bin")).unwrap();
        symlink("usr/lib", at.join("root/lib")).unwrap();
        let options = HostOptions {
            home: Some(at.join("home/u")),
            path: OsString::from("/usr/bin:/bin"),
            toolchain_variables: BTreeMap::new(),
            extra_paths: Vec::new(),
            uid: rustix::process::geteuid().as_raw(),
            system_root: at.join("root"),
        };
        Self { temp, options }
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.temp.path().canonicalize().unwrap().join(path)
    }

    pub(super) fn home(&self, path: &str) -> PathBuf {
        self.at("home/u").join(path)
    }

    pub(super) fn pyro(&self) -> PathBuf {
        self.at("pyro/environments/host")
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Files in the home that are meant to show.
    pub(super) fn shown(&self, paths: &[&str]) {
        paths.iter().for_each(|path| self.write(&format!("home/u/{path}"), "shown"));
    }

    pub(super) fn secret(&self, paths: &[&str]) {
        paths.iter().for_each(|path| self.write(path, "SECRET"));
    }

    pub(super) fn variable(&mut self, name: &str, value: &Path) {
        self.options.toolchain_variables.insert(name.to_owned(), value.as_os_str().to_owned());
    }

    pub(super) fn describe(&self) -> HostEnvironment {
        describe(&self.options, &self.pyro()).unwrap()
    }

    /// Every file that shows inside, by its path inside, and what it holds.
    pub(super) fn inside(&self, described: &HostEnvironment) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        // Parents come first, so what a mask or a nested bind covers is taken out again.
        for bind in &described.binds {
            files.retain(|path: &PathBuf, _| !path.starts_with(&bind.target));
            collect(&bind.source, &bind.target, &mut files);
        }
        files
    }
}

fn collect(source: &Path, target: &Path, files: &mut BTreeMap<PathBuf, String>) {
    let kind = fs::symlink_metadata(source).unwrap();
    if kind.is_dir() {
        for entry in fs::read_dir(source).unwrap() {
            let name = entry.unwrap().file_name();
            collect(&source.join(&name), &target.join(&name), files);
        }
    } else if kind.is_file() {
        files.insert(target.to_path_buf(), fs::read_to_string(source).unwrap_or_default());
    }
}
