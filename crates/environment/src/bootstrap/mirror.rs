//! Which Debian mirror: the caller's, else the one this host's own apt uses for Debian, else
//! Debian's. Third-party repositories of the host never count.

use std::path::Path;

const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
const DEFAULT_SECURITY: &str = "http://deb.debian.org/debian-security";
/// The most of an apt source file that is read.
const SOURCE_MOST: u64 = 1 << 20;

/// The mirrors to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirrors {
    /// Of the release and its updates.
    pub(crate) main: String,
    /// Of security updates, where one is known.
    pub(crate) security: Option<String>,
}

impl Mirrors {
    /// The mirrors for `suite`. A mirror that the caller names is used alone: where its security
    /// archive is, or whether it can be reached, is not known.
    pub(crate) fn choose(asked: Option<&str>, apt: &Path, suite: &str) -> Self {
        if let Some(asked) = asked {
            return Self { main: asked.to_owned(), security: None };
        }
        let entries = apt_entries(apt);
        let uri_of = |wanted: &str| {
            let found = entries.iter().find(|(_, suites)| suites.iter().any(|s| s == wanted));
            found.map(|(uri, _)| uri.clone())
        };
        let security = uri_of(&format!("{suite}-security"));
        match (uri_of(suite), security) {
            (Some(main), security) => Self { main, security },
            (None, _) => Self {
                main: DEFAULT_MIRROR.to_owned(),
                security: Some(DEFAULT_SECURITY.to_owned()),
            },
        }
    }

    /// As lines for `sources.list`.
    pub(crate) fn source_lines(&self, suite: &str) -> String {
        let main = &self.main;
        let mut lines = format!("deb {main} {suite} main\ndeb {main} {suite}-updates main\n");
        if let Some(security) = &self.security {
            lines.push_str(&format!("deb {security} {suite}-security main\n"));
        }
        lines
    }
}

/// Whether `uri` can stand in a source line and names a place on the network or a directory.
pub(crate) fn is_mirror(uri: &str) -> bool {
    let known = ["http://", "https://", "file:///"].iter().any(|scheme| uri.starts_with(scheme));
    known && uri.len() < 2048 && uri.bytes().all(|b| b.is_ascii_graphic() && !b"[]\"'".contains(&b))
}

/// Address and suites of every binary source below the apt directory.
fn apt_entries(apt: &Path) -> Vec<(String, Vec<String>)> {
    let mut files = vec![apt.join("sources.list")];
    let parts = std::fs::read_dir(apt.join("sources.list.d")).into_iter().flatten();
    let mut parts: Vec<_> = parts.flatten().map(|entry| entry.path()).collect();
    parts.sort_unstable();
    files.extend(parts);
    let mut entries = Vec::new();
    for file in files {
        let Some(text) = read(&file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => entries.extend(text.lines().filter_map(one_line)),
            Some("sources") => entries.extend(text.split("\n\n").flat_map(stanza)),
            _ => {}
        }
    }
    entries.retain(|(uri, _)| is_mirror(uri));
    entries
}

fn read(file: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(file).ok()?.take(SOURCE_MOST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// `deb [options] URI SUITE COMPONENT...`
fn one_line(line: &str) -> Option<(String, Vec<String>)> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    words.any(|component| component == "main").then(|| (uri.to_owned(), vec![suite.to_owned()]))
}

/// A deb822 stanza; one entry per address.
fn stanza(text: &str) -> Vec<(String, Vec<String>)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let words = |key: &str| -> Vec<String> {
        let value = fields.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        value.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let has = |key, wanted: &str| words(key).iter().any(|word| word == wanted);
    if !has("types", "deb") || !has("components", "main") || has("enabled", "no") {
        return Vec::new();
    }
    words("uris").into_iter().map(|uri| (uri, words("suites"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apt(files: &[(&str, &str)]) -> tempfile::TempDir {
        let room = tempfile::tempdir().unwrap();
        std::fs::create_dir(room.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            std::fs::write(room.path().join(name), text).unwrap();
        }
        room
    }

    #[test]
    fn takes_the_hosts_debian_and_not_its_other_repositories() {
        let room = apt(&[
            (
                "sources.list.d/a.sources",
                "Types: deb\nURIs: https://deb.nodesource.com/node_20.x\nSuites: nodistro\nComponents: main\n",
            ),
            (
                "sources.list.d/debian.sources",
                "Types: deb\n# old\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\nComponents: main contrib\n",
            ),
        ]);
        let mirrors = Mirrors::choose(None, room.path(), "bookworm");
        assert_eq!(
            mirrors.source_lines("bookworm"),
            "deb http://mirror.example/debian bookworm main\n\
             deb http://mirror.example/debian bookworm-updates main\n\
             deb http://mirror.example/security bookworm-security main\n"
        );
        let asked = Mirrors::choose(Some("http://other/debian"), room.path(), "bookworm");
        assert_eq!((asked.main.as_str(), asked.security), ("http://other/debian", None));
    }

    #[test]
    fn reads_one_line_sources_and_falls_back_on_other_distributions() {
        let room = apt(&[(
            "sources.list",
            "deb [arch=amd64 signed-by=/x] https://m/debian bookworm main\n# deb http://no bookworm main\n",
        )]);
        assert_eq!(Mirrors::choose(None, room.path(), "bookworm").main, "https://m/debian");
        let room = apt(&[(
            "sources.list",
            "deb http://archive.ubuntu.com/ubuntu noble main\ndeb mirror+file:/etc/m bookworm main\n",
        )]);
        assert_eq!(Mirrors::choose(None, room.path(), "bookworm").main, DEFAULT_MIRROR);
    }

    #[test]
    fn a_mirror_cannot_smuggle_options_or_lines() {
        assert!(is_mirror("http://deb.debian.org/debian"));
        for bad in ["http://x y", "http://x\ndeb", "[trusted=yes] http://x", "ftp://x", "-x", ""] {
            assert!(!is_mirror(bad), "{bad:?}");
        }
    }
}
