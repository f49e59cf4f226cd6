//! The projects that workspaces begin with: a small one, and a tree of 100,000 files, both Git
//! repositories, made once below the cache.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{About, Result},
    program::Program,
};

/// A generated Git repository.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    pub(crate) path: PathBuf,
    folders: usize,
    files: usize,
}

impl Project {
    /// 10 folders of 10 files.
    pub(crate) fn small(cache: &Path) -> Result<Self> {
        Self::at(cache.join("small"), 10, 10)
    }

    /// 1,000 folders of 100 files.
    pub(crate) fn large(cache: &Path) -> Result<Self> {
        Self::at(cache.join("large"), 1_000, 100)
    }

    fn at(path: PathBuf, folders: usize, files: usize) -> Result<Self> {
        let project = Self { path, folders, files };
        let whole = project.path.join(".git").join("made-by-pyro-bench");
        if !whole.exists() {
            project.make()?;
            fs::write(&whole, "").about(&whole)?;
        }
        // An earlier run may have died between an edit and its undoing.
        project.git(&["checkout", "--quiet", "--", "."]).time()?;
        project.git(&["clean", "--quiet", "-fd"]).time()?;
        Ok(project)
    }

    fn make(&self) -> Result<()> {
        if self.path.exists() {
            fs::remove_dir_all(&self.path).about(&self.path)?;
        }
        for folder in 0..self.folders {
            let inside = self.path.join(format!("part{folder:04}"));
            fs::create_dir_all(&inside).about(&inside)?;
            for file in 0..self.files {
                let path = inside.join(format!("file{file:03}.txt"));
                fs::write(&path, text(folder, file)).about(&path)?;
            }
        }
        self.git(&["init", "--quiet"]).time()?;
        self.git(&["add", "--all"]).time()?;
        let who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
        self.git(&[&who[..], &["commit", "--quiet", "--message", "all files"]].concat()).time()?;
        Ok(())
    }

    /// A git command in it.
    pub(crate) fn git(&self, words: &[&str]) -> Program {
        git(&self.path, words)
    }

    /// How many files it has.
    pub(crate) fn count(&self) -> usize {
        self.folders * self.files
    }

    /// Paths of files spread over it, relative to it.
    pub(crate) fn some(&self, count: usize) -> Vec<String> {
        let step = self.count() / count;
        (0..count)
            .map(|index| {
                let at = index * step;
                let (folder, file) = (at / self.files, at % self.files);
                format!("part{folder:04}/file{file:03}.txt")
            })
            .collect()
    }

    /// Changes some files, each time to something else.
    pub(crate) fn edit(&self, count: usize, mark: &str) -> Result<()> {
        edit(&self.path, &self.some(count), mark)
    }

    /// Takes all edits back.
    pub(crate) fn restore(&self) -> Result<()> {
        self.git(&["checkout", "--quiet", "--", "."]).time().map(drop)
    }

    /// A second checkout of it, for measuring Git itself.
    pub(crate) fn worktree(&self, path: &Path) -> Program {
        let path = path.to_string_lossy();
        self.git(&["worktree", "add", "--quiet", "--detach", "--force", &path])
    }

    /// Removes such a checkout, whatever there is of it.
    pub(crate) fn without_worktree(&self, path: &Path) -> Result<()> {
        if path.exists() {
            fs::remove_dir_all(path).about(path)?;
        }
        self.git(&["worktree", "prune"]).time().map(drop)
    }
}

/// A git command in a directory.
pub(crate) fn git(directory: &Path, words: &[&str]) -> Program {
    Program::new(["git"]).with(words.iter().copied()).within(directory)
}

/// Appends a line to files below a directory.
pub(crate) fn edit(directory: &Path, files: &[String], mark: &str) -> Result<()> {
    for file in files {
        let path = directory.join(file);
        let mut text = fs::read_to_string(&path).about(&path)?;
        text.push_str(mark);
        text.push('\n');
        fs::write(&path, text).about(&path)?;
    }
    Ok(())
}

fn text(folder: usize, file: usize) -> String {
    (0..8)
        .map(|line| format!("part {folder} file {file} line {line}: some words of text\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_made_once_and_mended() {
        let cache = std::env::temp_dir().join(format!("pyro-bench-test-{}", std::process::id()));
        let project = Project::small(&cache).unwrap();
        assert_eq!(project.count(), 100);
        project.edit(5, "changed").unwrap();
        assert_eq!(project.git(&["status", "--porcelain"]).output().unwrap().lines().count(), 5);
        Project::small(&cache).unwrap();
        assert_eq!(project.git(&["status", "--porcelain"]).output().unwrap(), "");
        fs::remove_dir_all(cache).unwrap();
    }
}
