//! A repository address as a seed: `file://` and `https://`, cloned by the host's git.
//!
//! The clone is made in the build's scratch directory under the closed environment, with only
//! these two protocols, no submodules, no filters and no prompts; then it is an ordinary checkout.
//! User-info in an address is used for the clone alone: it is in no argument, record, config or
//! message.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::SeedError;
use super::beneath::shown;
use super::facts::SeedOptions;
use super::host_git::{Finished, HostGit};

/// A state of a remote repository.
#[derive(Debug)]
pub(crate) struct Remote {
    /// Without user-info.
    pub(crate) url: String,
    rewrite: Option<String>,
    wanted: Wanted,
    pub(crate) commit: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// A branch or tag, by its short name.
    Named(String),
    /// The commit itself.
    Detached,
}

/// Splits an address into itself without user-info, and the user-info.
pub fn without_user_info(url: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, host)) => (format!("{scheme}://{host}{}", &rest[end..]), Some(user.to_owned())),
        None => (url.to_owned(), None),
    }
}

/// The address of a remote as it goes into a layer's config; `None` for one that names a helper
/// program or cannot be told.
pub(crate) fn clean_remote_url(url: &str) -> Option<String> {
    if url.contains("::") || url.chars().any(char::is_control) {
        return None;
    }
    if let Some((scheme, _)) = url.split_once("://") {
        let (clean, _) = without_user_info(url);
        let known = ["https", "http", "ssh", "git", "file", "git+ssh"];
        let end = if scheme.starts_with("http") { clean.find(['?', '#']) } else { None };
        let clean = clean[..end.unwrap_or(clean.len())].to_owned();
        return known.contains(&scheme).then_some(clean);
    }
    // `user@host:path`: the user name `git` is no secret and the address is useless without it.
    let Some((host, path)) = url.split_once(':').filter(|(host, _)| !host.contains('/')) else {
        return Some(url.to_owned());
    };
    match host.rsplit_once('@') {
        Some(("git", _)) | None => Some(url.to_owned()),
        Some((_, host)) => Some(format!("{host}:{path}")),
    }
}

/// Whether an address and a reference are ones that may be cloned, by their form alone. Returns
/// the address without user-info, and the user-info.
pub fn check_address(
    url: &str,
    reference: Option<&str>,
) -> Result<(String, Option<String>), SeedError> {
    let (clean, user_info) = without_user_info(url);
    let refuse =
        |why: &str| Err(SeedError::InvalidArgument { what: clean.clone(), why: why.to_owned() });
    if !(clean.starts_with("https://") || clean.starts_with("file:///")) {
        return refuse("only https:// and file:/// addresses are accepted");
    }
    if clean.len() > 4096 || clean.chars().any(|c| c.is_control() || c == ' ') {
        return refuse("the address holds characters that no address has");
    }
    if reference.is_some_and(is_bad_reference) {
        return refuse("that is no name of a branch, tag or commit");
    }
    Ok((clean, user_info))
}

fn is_bad_reference(text: &str) -> bool {
    text.is_empty()
        || text.len() > 256
        || text.starts_with('-')
        || text.contains("..")
        || text.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c))
}

impl Remote {
    /// Asks the server what a reference stands for now.
    pub(crate) fn resolve(
        url: &str,
        reference: Option<&str>,
        git: &HostGit,
        options: &SeedOptions,
    ) -> Result<Self, SeedError> {
        let (clean, user_info) = check_address(url, reference)?;
        let rewrite = user_info.map(|_| url.to_owned());
        let mut remote =
            Self { url: clean, rewrite, wanted: Wanted::Detached, commit: String::new() };
        let mut command = remote.command(git, options);
        command.args(["ls-remote", "--symref", "--"]).arg(&remote.url);
        let listed =
            remote.checked(git.patient(options.git_deadline).run(&remote.url, command)?)?;
        let text = shown(&listed.stdout);
        let refs: Vec<(&str, &str)> =
            text.lines().filter_map(|line| line.split_once('\t')).collect();
        let oid = |name: &str| {
            let found = refs.iter().find(|(oid, at)| *at == name && !oid.starts_with("ref:"));
            found.map(|(oid, _)| (*oid).to_owned())
        };
        let found = match reference {
            None => {
                let head =
                    refs.iter().find(|(oid, name)| *name == "HEAD" && oid.starts_with("ref:"));
                if let Some((target, _)) = head
                    && let Some(branch) = target.strip_prefix("ref: refs/heads/")
                    && !is_bad_reference(branch)
                {
                    remote.wanted = Wanted::Named(branch.to_owned());
                }
                oid("HEAD")
            }
            Some(name) => {
                let tag = || {
                    oid(&format!("refs/tags/{name}^{{}}"))
                        .or_else(|| oid(&format!("refs/tags/{name}")))
                };
                let named = oid(&format!("refs/heads/{name}")).or_else(tag);
                if named.is_some() {
                    remote.wanted = Wanted::Named(name.to_owned());
                }
                let hex = (7..=64).contains(&name.len()) && is_hex(name);
                named.or_else(|| oid(name)).or_else(|| hex.then(|| name.to_ascii_lowercase()))
            }
        };
        match found.filter(|oid| is_hex(oid)) {
            Some(commit) => remote.commit = commit,
            None => {
                let name = reference.unwrap_or("HEAD");
                let detail = format!("it has no branch, tag or commit '{name}'");
                return Err(SeedError::failed(remote.url, detail));
            }
        }
        Ok(remote)
    }

    /// The key's digest.
    pub(crate) fn key(&self) -> Sha256 {
        let mut key = Sha256::new();
        let name = if let Wanted::Named(name) = &self.wanted { name } else { "" };
        key.update(format!("repo\0{}\0{name}\0{}", self.url, self.commit));
        key
    }

    /// Clones and checks out below `into`, and returns the working directory.
    pub(crate) fn clone_into(
        &mut self,
        into: &Path,
        git: &HostGit,
        options: &SeedOptions,
    ) -> Result<PathBuf, SeedError> {
        let git = git.patient(options.clone_deadline);
        let work = into.join("clone");
        let mut command = self.command(&git, options);
        command.args(["clone", "--quiet", "--no-checkout", "--no-recurse-submodules"]);
        command.args(["--template=", "--origin=origin"]);
        if let Wanted::Named(name) = &self.wanted {
            command.arg(format!("--branch={name}"));
        }
        command.arg("--").arg(&self.url).arg(&work);
        self.checked(git.run(&self.url, command)?)?;
        let inside = |args: &[&str]| {
            let mut command = git.in_git_dir(&work.join(".git"), Some(&work));
            command.args(args);
            command
        };
        let commit = format!("{}^{{commit}}", self.commit);
        let resolve = inside(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit]);
        let resolved = git.run(&self.url, resolve)?;
        if !resolved.status.success() {
            let detail = format!("it has no commit '{}' that a clone brings", self.commit);
            return Err(SeedError::failed(&self.url, detail));
        }
        self.commit = shown(&resolved.stdout).trim().to_owned();
        if self.wanted == Wanted::Detached {
            let detach = inside(&["update-ref", "--no-deref", "HEAD", &self.commit]);
            self.checked(git.run(&self.url, detach)?)?;
        }
        let fill = inside(&["reset", "--quiet", "--hard", &self.commit]);
        self.checked(git.run(&self.url, fill)?)?;
        Ok(work)
    }

    fn command(&self, git: &HostGit, options: &SeedOptions) -> Command {
        let mut command = git.command();
        for (name, value) in &options.network_env {
            if is_network_variable(name.to_str().unwrap_or("")) {
                command.env(name, value);
                if name == "SSL_CERT_FILE" {
                    command.env("GIT_SSL_CAINFO", value);
                }
            }
        }
        command.env("GIT_ALLOW_PROTOCOL", "file:https");
        command.args(["-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=60"]);
        if let Some(rewrite) = &self.rewrite {
            // In the environment, since every user of the host can read arguments.
            command.env("GIT_CONFIG_COUNT", "1");
            command.env("GIT_CONFIG_KEY_0", format!("url.{rewrite}.insteadOf"));
            command.env("GIT_CONFIG_VALUE_0", &self.url);
        }
        command
    }

    /// Tells a network failure from a bad source, without user-info in the message.
    fn checked(&self, finished: Finished) -> Result<Finished, SeedError> {
        if finished.status.success() {
            return Ok(finished);
        }
        let mut detail = finished.complaint();
        if let Some(rewrite) = &self.rewrite {
            detail = detail.replace(rewrite, &self.url);
            let start = rewrite.find("://").map_or(0, |at| at + 3);
            let secret = rewrite[start..].rsplit_once('@').map_or("", |(user, _)| user);
            for part in secret.splitn(2, ':').chain([secret]).filter(|part| part.len() > 2) {
                detail = detail.replace(part, "[REDACTED]");
            }
        }
        const NETWORK: &[&str] = &[
            "Could not resolve",
            "Failed to connect",
            "Couldn't connect",
            "Connection",
            "timed out",
            "too slow",
            "SSL",
            "certificate",
            "proxy",
            "early EOF",
            "error: 5",
        ];
        let what = self.url.clone();
        if self.url.starts_with("https://") && NETWORK.iter().any(|sign| detail.contains(sign)) {
            return Err(SeedError::NetworkFailed { what, detail });
        }
        Err(SeedError::SourceFailed { what, detail })
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_network_variable(name: &str) -> bool {
    matches!(
        name,
        "HTTPS_PROXY"
            | "https_proxy"
            | "HTTP_PROXY"
            | "http_proxy"
            | "NO_PROXY"
            | "no_proxy"
            | "ALL_PROXY"
            | "all_proxy"
            | "SSL_CERT_FILE"
            | "SSL_CERT_DIR"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_is_split_off() {
        let split = |url| without_user_info(url);
        assert_eq!(split("https://h/a"), ("https://h/a".into(), None));
        assert_eq!(split("https://u:p@h/a@b"), ("https://h/a@b".into(), Some("u:p".into())));
        assert_eq!(split("https://u@p@h"), ("https://h".into(), Some("u@p".into())));
        assert_eq!(split("file:///a@b/c"), ("file:///a@b/c".into(), None));
    }

    #[test]
    fn remote_addresses_lose_what_is_secret() {
        let clean = |url| clean_remote_url(url);
        assert_eq!(clean("https://u:p@h/a?token=x").as_deref(), Some("https://h/a"));
        assert_eq!(clean("git@h:a/b.git").as_deref(), Some("git@h:a/b.git"));
        assert_eq!(clean("me@h:a").as_deref(), Some("h:a"));
        assert_eq!(clean("../other").as_deref(), Some("../other"));
        assert_eq!(clean("ext::sh -c x"), None);
        assert_eq!(clean("weird://h/a"), None);
    }
}
