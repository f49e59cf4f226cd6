//! Reading a repository's config as data, and writing the clean one that goes into a layer.
//!
//! The file is copied and listed by `git config --file ... --no-includes`, which runs nothing.
//! Only keys on the lists below survive, each with a checked value: no hooks, filters, helpers,
//! programs, includes, rewrites or credentials. Remote addresses lose their user-info.

use std::fmt::Write as _;

use super::SeedError;
use super::beneath::{Rooted, shown};
use super::host_git::HostGit;
use super::remote::clean_remote_url;

const CONFIG_MOST: u64 = 4 << 20;

/// A repository's config, as keys and values in the order of the files.
#[derive(Debug, Default)]
pub(crate) struct RepoConfig {
    values: Vec<(String, Vec<u8>)>,
}

/// Booleans and words that change how git reads a working tree, and nothing else.
const KEPT_CORE: &[(&str, &[&str])] = &[
    ("core.filemode", &["true", "false"]),
    ("core.symlinks", &["true", "false"]),
    ("core.ignorecase", &["true", "false"]),
    ("core.precomposeunicode", &["true", "false"]),
    ("core.autocrlf", &["true", "false", "input"]),
    ("core.eol", &["lf", "crlf", "native"]),
    ("core.sparsecheckout", &["true", "false"]),
    ("core.sparsecheckoutcone", &["true", "false"]),
    ("extensions.objectformat", &["sha1", "sha256"]),
    ("extensions.refstorage", &["files", "reftable"]),
];

/// Extensions that need nothing from us.
const HARMLESS_EXTENSIONS: &[&str] = &[
    "extensions.objectformat",
    "extensions.refstorage",
    "extensions.worktreeconfig",
    "extensions.relativeworktrees",
    "extensions.partialclone",
    "extensions.preciousobjects",
    "extensions.noop",
    "extensions.noop-v1",
];

impl RepoConfig {
    /// Reads `config` of the common directory and, where the repository says so,
    /// `config.worktree` of `own`.
    pub(crate) fn read(
        git: &HostGit,
        common: &Rooted,
        own: Option<&Rooted>,
    ) -> Result<Self, SeedError> {
        let mut config = Self::default();
        config.add(git, common, b"config")?;
        if let Some(own) = own
            && config.last("extensions.worktreeconfig") == Some(b"true")
        {
            config.add(git, own, b"config.worktree")?;
        }
        Ok(config)
    }

    fn add(&mut self, git: &HostGit, dir: &Rooted, name: &[u8]) -> Result<(), SeedError> {
        let Some(contents) = dir.read(name, CONFIG_MOST)? else { return Ok(()) };
        let copy = git.scratch_file("source-config");
        std::fs::write(&copy, &contents.bytes)
            .map_err(|source| SeedError::io("write", &copy, source))?;
        let mut command = git.command();
        command.arg("config").arg("--file").arg(&copy);
        command.args(["--no-includes", "--null", "--list"]);
        let what = dir.join(name).display().to_string();
        let listed = git.run_ok(&what, command)?;
        for item in listed.stdout.split(|byte| *byte == 0).filter(|item| !item.is_empty()) {
            let end = item.iter().position(|byte| *byte == b'\n');
            // A key without a value means true.
            let value = end.map_or_else(|| b"true".to_vec(), |end| item[end + 1..].to_vec());
            self.values.push((shown(&item[..end.unwrap_or(item.len())]), value));
        }
        Ok(())
    }

    /// The value that is in force.
    pub(crate) fn last(&self, key: &str) -> Option<&[u8]> {
        self.values.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_slice())
    }

    /// The kept words of `core` and `extensions`, as a config text for our own git directory.
    pub(crate) fn core_text(&self, what: &str) -> Result<String, SeedError> {
        for (key, _) in &self.values {
            if key.starts_with("extensions.") && !HARMLESS_EXTENSIONS.contains(&key.as_str()) {
                let why = format!("the repository uses {key}, which is not known here");
                return Err(SeedError::Unsupported { what: what.into(), why });
            }
        }
        let mut text = String::new();
        let mut extensions = false;
        for (key, allowed) in KEPT_CORE {
            let value = self.last(key).map(|value| shown(value).to_ascii_lowercase());
            if let Some(value) = value.filter(|value| allowed.contains(&value.as_str()))
                && let Some((section, name)) = key.split_once('.')
            {
                extensions |= section == "extensions";
                let _ = writeln!(text, "[{section}]\n\t{name} = {value}");
            }
        }
        let version = u8::from(extensions);
        let head = format!("[core]\n\trepositoryformatversion = {version}\n\tbare = false\n");
        Ok(head + &text)
    }

    /// The config that goes into the layer.
    pub(crate) fn clean_text(&self, what: &str) -> Result<String, SeedError> {
        let mut text = self.core_text(what)?;
        // Inode, owner and change time differ inside; size and modification time are kept.
        text.push_str("[core]\n\tlogallrefupdates = true\n\ttrustctime = false\n");
        text.push_str("\tcheckStat = minimal\n[gc]\n\tauto = 0\n");
        let name = self.last("user.name").map_or_else(|| "pyro".into(), shown);
        let email = self.last("user.email").map_or_else(|| "pyro@localhost".into(), shown);
        let _ = writeln!(text, "[user]\n\tname = {}\n\temail = {}", quoted(&name), quoted(&email));
        let mut promised = false;
        for (key, value) in &self.values {
            let Some((section, rest)) = key.split_once('.') else { continue };
            let Some((subsection, name)) = rest.rsplit_once('.') else { continue };
            let value = shown(value);
            let kept = match (section, name) {
                ("remote", "url") => clean_remote_url(&value),
                ("remote", "fetch") | ("branch", "remote" | "merge") => Some(value),
                ("remote", "promisor") if value == "true" => {
                    promised = true;
                    Some(value)
                }
                ("remote", "partialclonefilter") => Some(value),
                _ => None,
            };
            if let Some(value) = kept.filter(|value| is_one_line(value)) {
                let place = quoted(subsection);
                let _ = writeln!(text, "[{section} {place}]\n\t{name} = {}", quoted(&value));
            }
        }
        if promised {
            let origin = self.last("extensions.partialclone").map_or("origin".into(), shown);
            let _ = writeln!(text, "[extensions]\n\tpartialclone = {}", quoted(&origin));
            text = text.replacen("repositoryformatversion = 0", "repositoryformatversion = 1", 1);
        }
        Ok(text)
    }
}

fn is_one_line(value: &str) -> bool {
    value.len() <= 4096 && !value.chars().any(char::is_control)
}

fn quoted(value: &str) -> String {
    let plain: String = value.chars().filter(|letter| !letter.is_control()).take(4096).collect();
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> Result<String, SeedError> {
        let dir = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config"), text).unwrap();
        let git = HostGit::find(scratch.path(), std::time::Duration::from_secs(20)).unwrap();
        let common = Rooted::open(dir.path()).unwrap();
        RepoConfig::read(&git, &common, None)?.clean_text("x")
    }

    #[test]
    fn only_harmless_keys_survive() {
        let clean = cleaned(
            "[core]\n\tautocrlf = input\n\tsshCommand = touch /x\n\tfsmonitor = touch /x\n\
             \tworktree = /etc\n[alias]\n\tx = !touch /x\n[filter \"f\"]\n\tclean = touch /x\n\
             [include]\n\tpath = /etc/passwd\n[remote \"origin\"]\n\
             \turl = https://me:token@example.org/a.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\
             \tproxy = http://u:p@h\n\tuploadpack = touch /x\n[remote \"ext\"]\n\turl = ext::touch /x\n\
             [branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n\
             [http \"https://h\"]\n\textraheader = Authorization: secret\n[user]\n\tname = A \\\"B\\\"\n",
        )
        .unwrap();
        for gone in ["touch", "token", "secret", "/etc", "alias", "filter", "proxy", "me:"] {
            assert!(!clean.contains(gone), "{gone} in {clean}");
        }
        for kept in [
            "autocrlf = input",
            "url = \"https://example.org/a.git\"",
            "merge = \"refs/heads/main\"",
            "name = \"A \\\"B\\\"\"",
            "email = \"pyro@localhost\"",
        ] {
            assert!(clean.contains(kept), "{kept} not in {clean}");
        }
    }

    #[test]
    fn an_unknown_extension_is_refused() {
        let error = cleaned("[core]\n\trepositoryformatversion = 1\n[extensions]\n\tnew = 1\n");
        assert_eq!(error.unwrap_err().code(), "unsupported");
    }
}
