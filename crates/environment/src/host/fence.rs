//! What is never shown, whoever names it: credentials, and places that hold other people's data.
//!
//! Applied to places that come from a variable or from the user's configuration; the toolchains'
//! default places are known and need no fence.

use std::path::{Path, PathBuf};

use super::home::Home;

/// Places of the system and of others. The caller's own home may lie in one of them.
const CLOSED: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",
    "/var",
    "/workspace",
];

/// Names that are a credential, or a folder of them, wherever they stand.
const CREDENTIALS: &[&str] = &[
    ".aws",
    ".azure",
    ".docker",
    ".git-credentials",
    ".gnupg",
    ".kube",
    ".netrc",
    ".npmrc",
    ".password-store",
    ".pgpass",
    ".pypirc",
    ".ssh",
    "gcloud",
    "keyrings",
    "npmrc",
    "pip.conf",
];

/// Folders of the home that hold everybody's settings and caches, tokens among them; a part of one
/// may be named, the whole may not.
const NEVER_WHOLE: &[&str] =
    &[".cache", ".config", ".gradle", ".local", ".local/share", ".local/state", ".m2", ".mozilla"];

/// Whether a file or directory of this name is taken for a credential.
pub(super) fn looks_like_credential(name: &str) -> bool {
    certainly_credential(name)
        || name.starts_with("id_")
        || [".pem", ".key"].iter().any(|ending| name.ends_with(ending))
}

/// The names that mean nothing else; `id_*` and `*.pem` are also names of harmless parts of
/// toolchains (a map of ids, a bundle of public certificates).
pub(super) fn certainly_credential(name: &str) -> bool {
    CREDENTIALS.contains(&name) || name.starts_with("credentials") || name.starts_with(".env")
}

/// Judges places by their canonical path.
pub(super) struct Fence {
    /// As it is inside and as it is on the host.
    homes: Vec<PathBuf>,
    pyro: PathBuf,
}

impl Fence {
    pub(super) fn new(home: &Home, home_of_pyro: &Path) -> Self {
        let real = home.place.iter().map(|place| place.real().to_path_buf());
        let homes = real.chain([home.inside.clone()]).collect();
        Self { homes, pyro: home_of_pyro.to_path_buf() }
    }

    /// Whether the place lies among the home's settings, which is no place for a toolchain.
    pub(super) fn among_settings(&self, real: &Path) -> bool {
        self.homes.iter().any(|home| real.starts_with(home.join(".config")))
    }

    /// Why this place may not be shown; none when it may.
    pub(super) fn refusal(&self, real: &Path) -> Option<String> {
        if real == Path::new("/") || self.homes.iter().any(|home| home.starts_with(real)) {
            return Some("it holds the whole home".to_owned());
        }
        if self.pyro.starts_with(real) || real.starts_with(&self.pyro) {
            return Some("it holds pyro's own files".to_owned());
        }
        let home = self.homes.iter().find(|home| real.starts_with(home));
        if home.is_none()
            && let Some(closed) = CLOSED.iter().find(|closed| real.starts_with(closed))
        {
            return Some(format!("{closed} is not shown"));
        }
        if real == Path::new("/opt") {
            return Some("/opt is never shown whole".to_owned());
        }
        if let Some(whole) = home.and_then(|home| real.strip_prefix(home).ok())
            && NEVER_WHOLE.iter().any(|folder| whole == Path::new(folder))
        {
            return Some("it holds more than toolchains".to_owned());
        }
        let own = home.map_or(real, |home| real.strip_prefix(home).unwrap_or(real));
        own.iter().find_map(|part| match part.to_str() {
            Some(name) if looks_like_credential(name) => {
                Some(format!("{name} looks like a credential"))
            }
            Some(_) => None,
            None => Some("its name is not UTF-8".to_owned()),
        })
    }
}
