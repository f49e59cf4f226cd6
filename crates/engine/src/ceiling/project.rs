//! Which project a create without a source takes, and why none where there is none.
//!
//! Told once, when a server starts or `doctor` looks, and cheaply: a few looks at `.git`, never a
//! walk of the tree and no program of the host. What only a walk shows (too large a project, files
//! that cannot be read) the create says.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::seed;

/// What to do where a project cannot be used.
pub(crate) const NO_SOURCE: &str = "give seed_path, or no_seed for an empty workspace; or ask the person to start the server with --project-path DIR or --repo-url URL";

/// The project that a create without a source takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectSource {
    /// The Git checkout around the server's directory, by its canonical path.
    Checkout(PathBuf),
    /// A directory that somebody named, checkout or not, by its canonical path.
    Directory(PathBuf),
    /// A repository that the user named.
    Repository {
        /// Its address, as the user gave it; never shown as it is.
        url: String,
        /// The branch, tag or commit, where the user named one.
        reference: Option<String>,
    },
    /// There is none: workspaces begin empty.
    None {
        /// Why.
        why: String,
    },
    /// There is one that cannot be used: a create without a source fails.
    Unusable {
        /// Why.
        why: String,
    },
}

impl Default for ProjectSource {
    fn default() -> Self {
        Self::None { why: "this server has no project".to_owned() }
    }
}

impl ProjectSource {
    /// The project around a directory, where nobody named one.
    #[must_use]
    pub fn around(directory: &Path, user_home: Option<&Path>) -> Self {
        let Ok(here) = directory.canonicalize() else {
            return unusable(format!("{} cannot be opened", plainly(directory)));
        };
        let Some(root) = seed::find_checkout(&here) else {
            if seed::is_bare_repository(&here) {
                return unusable(format!(
                    "{} is a bare repository, which has no files",
                    plainly(&here)
                ));
            }
            return Self::None { why: format!("{} is in no Git checkout", plainly(&here)) };
        };
        if root == Path::new("/") {
            return unusable("the Git checkout here is the whole file system".to_owned());
        }
        if is(&root, user_home) {
            return unusable(format!(
                "the Git checkout here is the home directory {}",
                plainly(&root)
            ));
        }
        // Anybody can put a `.git` into a directory that all may write: one above is believed only
        // where it belongs to this user, root, or whoever owns the directory itself.
        if root != here && !is_of_us(&root, &here) {
            return unusable(format!(
                "the Git checkout {} around it belongs to another user",
                plainly(&root)
            ));
        }
        match seed::looks_like_checkout(&root) {
            Ok(()) => Self::Checkout(root),
            Err(why) => unusable(format!("{} is no whole Git checkout: {why}", plainly(&root))),
        }
    }

    /// A directory that a chat host names as its root, where it can be a project at all.
    #[must_use]
    pub fn of_root(directory: &Path, user_home: Option<&Path>) -> Option<Self> {
        let here = directory.canonicalize().ok()?;
        let above_home = user_home
            .and_then(|home| home.canonicalize().ok())
            .is_some_and(|home| home.starts_with(&here));
        if here == Path::new("/") || above_home || !here.is_dir() {
            return None;
        }
        match Self::around(&here, user_home) {
            Self::Checkout(root) if root == here => Some(Self::Checkout(here)),
            // A root inside a checkout, or none at all: exactly what was named.
            Self::Checkout(_) | Self::None { .. } => Some(Self::Directory(here)),
            _ => None,
        }
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !matches!(self, Self::None { .. } | Self::Unusable { .. })
    }

    /// The directory, if it is one on this host.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Checkout(path) | Self::Directory(path) => Some(path),
            _ => None,
        }
    }

    /// The repository's address without what is secret in it, if it is one.
    #[must_use]
    pub fn repository(&self) -> Option<String> {
        match self {
            Self::Repository { url, .. } => Some(seed::without_user_info(url).0),
            _ => None,
        }
    }

    /// What it is, for a person who knows what flags there are.
    #[must_use]
    pub fn for_person(&self) -> String {
        match self {
            Self::Checkout(path) => format!("the Git checkout {}", plainly(path)),
            Self::None { why } => format!("none: {why}; workspaces begin empty"),
            Self::Unusable { why } => format!("none: {why}"),
            Self::Directory(_) | Self::Repository { .. } => self.in_words(),
        }
    }

    /// In one sentence, for the model.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Checkout(path) => {
                format!("The project is the Git checkout {} on the host.", plainly(path))
            }
            Self::Directory(path) => format!("The project is {} on the host.", plainly(path)),
            Self::Repository { url, reference } => {
                let url = seed::without_user_info(url).0;
                match reference {
                    Some(at) => format!("The project is the repository {url} at {at}."),
                    None => format!("The project is the repository {url}."),
                }
            }
            Self::None { why } => {
                format!("No project is set ({why}): without a source the workspace begins empty.")
            }
            Self::Unusable { why } => {
                format!("No project can be used: {why}. So {NO_SOURCE}.")
            }
        }
    }
}

fn unusable(why: String) -> ProjectSource {
    ProjectSource::Unusable { why }
}

fn is(path: &Path, other: Option<&Path>) -> bool {
    other.and_then(|other| other.canonicalize().ok()).is_some_and(|other| other == path)
}

fn is_of_us(root: &Path, here: &Path) -> bool {
    let owner = |path: &Path| path.symlink_metadata().map(|facts| facts.uid()).ok();
    let believed = [Some(0), Some(rustix::process::geteuid().as_raw()), owner(here)];
    let is_believed = |path: &Path| owner(path).is_some_and(|uid| believed.contains(&Some(uid)));
    is_believed(root) && is_believed(&root.join(".git"))
}

/// A path as a person and a model may read it: nothing in it moves a cursor or begins a line.
pub(super) fn plainly(path: &Path) -> String {
    let clean = |letter: char| if is_plain(letter) { letter } else { '\u{fffd}' };
    path.to_string_lossy().chars().map(clean).collect()
}

/// Whether a letter is shown as itself: no control, and none that turns the direction of a line.
pub(super) fn is_plain(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A checkout by its looks.
    fn checkout(at: &Path) -> PathBuf {
        for name in [".git/objects", ".git/refs"] {
            std::fs::create_dir_all(at.join(name)).unwrap();
        }
        std::fs::write(at.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        at.canonicalize().unwrap()
    }

    fn why(source: ProjectSource) -> String {
        match source {
            ProjectSource::Unusable { why } => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_checkout_around_a_directory_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = checkout(&folder.path().join("a"));
        std::fs::create_dir_all(root.join("b/c")).unwrap();
        let found = ProjectSource::around(&root.join("b/c"), None);
        assert_eq!(found, ProjectSource::Checkout(root.clone()));
        symlink(&root, folder.path().join("link")).unwrap();
        assert_eq!(ProjectSource::around(&folder.path().join("link"), None), found);
        // A worktree and a submodule have a file that says where the rest is.
        let other = folder.path().join("worktree");
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(other.join(".git"), format!("gitdir: {}\n", root.join(".git").display()))
            .unwrap();
        let other = other.canonicalize().unwrap();
        assert_eq!(ProjectSource::around(&other, None), ProjectSource::Checkout(other.clone()));
    }

    #[test]
    fn what_cannot_be_a_project_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let none = ProjectSource::around(&at, None);
        assert!(matches!(none, ProjectSource::None { .. }), "{none:?}");
        assert!(none.in_words().contains("begins empty"));
        assert!(why(ProjectSource::around(&at.join("gone"), None)).contains("cannot be opened"));
        let root = checkout(&at.join("home"));
        assert!(why(ProjectSource::around(&root, Some(&root))).contains("home directory"));
        for (name, make) in [
            ("pointer", "gitdir: /nowhere/at/all\n"),
            ("lines", "gitdir: a\nb\n"),
            ("text", "hello\n"),
            ("empty", ""),
        ] {
            let broken = at.join(name);
            std::fs::create_dir(&broken).unwrap();
            std::fs::write(broken.join(".git"), make).unwrap();
            let said = ProjectSource::around(&broken, None);
            assert!(said.in_words().contains("--project-path"), "{name}: {}", said.in_words());
            assert!(why(said).contains("no whole Git checkout"), "{name}");
        }
        let hollow = at.join("hollow");
        std::fs::create_dir_all(hollow.join(".git")).unwrap();
        assert!(why(ProjectSource::around(&hollow, None)).contains("HEAD"));
        let linked = at.join("linked");
        std::fs::create_dir(&linked).unwrap();
        symlink(root.join(".git"), linked.join(".git")).unwrap();
        assert!(why(ProjectSource::around(&linked, None)).contains("neither"));
        let bare = at.join("bare");
        for name in ["objects", "refs"] {
            std::fs::create_dir_all(bare.join(name)).unwrap();
        }
        std::fs::write(bare.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        assert!(why(ProjectSource::around(&bare, None)).contains("bare"));
    }

    #[test]
    fn a_pipe_in_the_place_of_git_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join(".git");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600))
            .unwrap();
        assert!(why(ProjectSource::around(folder.path(), None)).contains("neither"));
    }

    #[test]
    fn a_root_of_a_chat_host_is_taken_as_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let root = checkout(&at.join("a"));
        std::fs::create_dir(root.join("part")).unwrap();
        let of = |path: &Path, home: Option<&Path>| ProjectSource::of_root(path, home);
        assert_eq!(of(&root, None), Some(ProjectSource::Checkout(root.clone())));
        let part = root.join("part");
        assert_eq!(of(&part, None), Some(ProjectSource::Directory(part.clone())));
        assert_eq!(of(Path::new("/"), None), None);
        assert_eq!(of(&root, Some(&part)), None, "the home lies in it");
        assert_eq!(of(&at.join("gone"), None), None);
        std::fs::write(at.join("file"), "").unwrap();
        assert_eq!(of(&at.join("file"), None), None);
    }

    #[test]
    fn words_hold_no_secret_and_begin_no_line() {
        let url = "https://user:token@example.org/a".to_owned();
        let source = ProjectSource::Repository { url, reference: Some("v1".to_owned()) };
        assert_eq!(source.in_words(), "The project is the repository https://example.org/a at v1.");
        let odd = ProjectSource::Directory("/a\n\u{1b}[2J\u{202e}b".into());
        let words = odd.in_words();
        assert!(words.chars().all(is_plain), "{words:?}");
    }
}
