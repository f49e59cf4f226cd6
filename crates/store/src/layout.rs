//! Every path below the home, once. Nothing else in pyro joins a path to the home by itself.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use pyro_model::WorkspaceId;

use crate::StoreError;

/// The folders of a home, and what each holds. `doctor` explains every entry with it.
pub const FOLDERS: &[(&str, &str)] = &[
    ("chat-hosts", "what `host connect` changed in the chat hosts' files, to be undone"),
    ("environments", "installed root file systems"),
    ("guest", "the agent that runs inside, one file for each version"),
    ("kept", "the last patches of deleted workspaces, for 7 days"),
    ("layers", "seeds, shared by the workspaces of one project state"),
    ("locks", "one file for each workspace that a call may be changing"),
    ("log", "what pyro did, for a bug report"),
    ("microvm", "kernels, boot images and templates of the microVM, and whether KVM works here"),
    ("tmp", "work in progress"),
    ("trash", "what is being removed in the background"),
    ("workspaces", "one folder for each workspace: changes, spool, socket"),
];

/// Where everything lies.
#[derive(Debug, Clone)]
pub struct Layout {
    home: PathBuf,
}

impl Layout {
    /// The paths below a home.
    #[must_use]
    pub fn new(home: PathBuf) -> Self {
        Self { home }
    }

    /// Makes the home and its folders, and checks that only its user can reach it: a guest can
    /// leave setuid files in it.
    ///
    /// # Errors
    /// `Untrusted` when it is another user's or open to others, `File` when it cannot be made.
    pub fn make(&self) -> Result<(), StoreError> {
        let private = |path: &Path| {
            let mut builder = fs::DirBuilder::new();
            builder.mode(0o700);
            match builder.create(path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    Err(StoreError::file("make", path, error))
                }
                _ => Ok(()),
            }
        };
        if let Some(parent) = self.home.parent() {
            fs::create_dir_all(parent).map_err(|e| StoreError::file("make", parent, e))?;
        }
        private(&self.home)?;
        self.check()?;
        FOLDERS.iter().try_for_each(|(name, _)| private(&self.home.join(name)))
    }

    /// Checks that only its user can reach the home.
    ///
    /// # Errors
    /// As `make`.
    pub fn check(&self) -> Result<(), StoreError> {
        let facts = fs::symlink_metadata(&self.home)
            .map_err(|e| StoreError::file("read", &self.home, e))?;
        let untrusted = |why: String| Err(StoreError::Untrusted { path: self.home.clone(), why });
        if !facts.is_dir() {
            return untrusted("it is not a directory".to_owned());
        }
        let me = rustix::process::geteuid().as_raw();
        if facts.uid() != me {
            return untrusted(format!("it belongs to user {}, you are {me}", facts.uid()));
        }
        if facts.mode() & 0o077 != 0 {
            return untrusted(format!("others may enter it (mode {:o})", facts.mode() & 0o7777));
        }
        Ok(())
    }

    /// The home itself.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.home.join("pyro.db")
    }

    /// What was written to the database and not yet moved into it.
    #[must_use]
    pub fn database_log(&self) -> PathBuf {
        self.home.join("pyro.db-wal")
    }

    /// Held while the database is brought to a new format.
    #[must_use]
    pub fn migration_lock(&self) -> PathBuf {
        self.home.join("locks").join("format")
    }

    /// A workspace's own folder.
    #[must_use]
    pub fn workspace(&self, id: &WorkspaceId) -> PathBuf {
        self.home.join("workspaces").join(id.as_str())
    }

    /// All workspaces' folders.
    #[must_use]
    pub fn workspaces(&self) -> PathBuf {
        self.home.join("workspaces")
    }

    /// What the agent of a workspace writes down.
    #[must_use]
    pub fn spool(&self, id: &WorkspaceId) -> PathBuf {
        self.workspace(id).join("spool")
    }

    /// The lock of calls that change a workspace.
    #[must_use]
    pub fn operation_lock(&self, id: &WorkspaceId) -> PathBuf {
        self.home.join("locks").join(id.as_str())
    }

    /// All locks of workspaces.
    #[must_use]
    pub fn operation_locks(&self) -> PathBuf {
        self.home.join("locks")
    }

    /// What `host connect` changed in the chat hosts' files.
    #[must_use]
    pub fn chat_hosts(&self) -> PathBuf {
        self.home.join("chat-hosts")
    }

    /// Root file systems.
    #[must_use]
    pub fn environments(&self) -> PathBuf {
        self.home.join("environments")
    }

    /// Seeds.
    #[must_use]
    pub fn layers(&self) -> PathBuf {
        self.home.join("layers")
    }

    /// Agents.
    #[must_use]
    pub fn guest(&self) -> PathBuf {
        self.home.join("guest")
    }

    /// What microVMs are started from.
    #[must_use]
    pub fn microvm(&self) -> PathBuf {
        self.home.join("microvm")
    }

    /// Work in progress.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.home.join("tmp")
    }

    /// What is being removed.
    #[must_use]
    pub fn trash(&self) -> PathBuf {
        self.home.join("trash")
    }

    /// Where the last patch of a deleted workspace is kept.
    #[must_use]
    pub fn kept(&self, id: &WorkspaceId) -> PathBuf {
        self.home.join("kept").join(id.as_str())
    }

    /// What is kept of all deleted workspaces; `None` when nothing ever was.
    #[must_use]
    pub fn kept_folder(&self) -> Option<fs::ReadDir> {
        fs::read_dir(self.home.join("kept")).ok()
    }

    /// Where exports land when there is no project.
    #[must_use]
    pub fn exports(&self) -> PathBuf {
        self.home.join("exports")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_home_that_others_may_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("a/pyro"));
        layout.make().unwrap();
        layout.make().unwrap();
        fs::set_permissions(layout.home(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(layout.make(), Err(StoreError::Untrusted { .. })));
    }

    #[test]
    fn a_home_that_is_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
        let layout = Layout::new(folder.path().join("link"));
        assert!(matches!(layout.make(), Err(StoreError::Untrusted { .. })));
    }
}
