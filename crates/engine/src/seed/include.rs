//! Which ignored files come along all the same, and which names look like credentials.
//!
//! A glob without a slash names what Git lists as ignored, at any depth (`.env`, `node_modules`);
//! a glob with a slash is anchored at the seed's root and reaches inside ignored directories. A
//! match of a directory takes everything below it. Globs of the repository's own `.pyro/include`
//! never take a path with a component that looks like a credential.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::SeedError;
use super::beneath::{Kind, Rooted, as_path, child, file_name, lies_in, shown};

/// Where a repository names ignored files that it wants to come along.
pub(crate) const REPO_INCLUDE: &[u8] = b".pyro/include";
/// Where exports land; never part of a seed.
pub(crate) const EXPORTS: &[u8] = b".pyro/exports";
const REPO_INCLUDE_MOST: u64 = 64 << 10;
const GLOBS_MOST: usize = 1000;

/// Whether a name looks as if it held a credential.
pub fn looks_like_credential(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let ends = [b".pem".as_slice(), b".key", b".tfstate"];
    name.starts_with(b".env")
        || name.starts_with(b"id_")
        || ends.iter().any(|end| name.ends_with(end))
        || matches!(name.as_slice(), b".npmrc" | b".netrc" | b".pypirc")
}

/// Whether any component of a path looks as if it held a credential.
pub(crate) fn has_credential_component(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(looks_like_credential)
}

/// A set of globs of one origin.
#[derive(Debug, Default)]
struct Globs {
    names: GlobSet,
    anchored: GlobSet,
    /// The literal beginnings of the anchored ones.
    beginnings: Vec<Vec<u8>>,
}

impl Globs {
    fn build<'a>(globs: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let (mut names, mut anchored) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let mut beginnings = Vec::new();
        for (count, text) in globs.enumerate() {
            if count >= GLOBS_MOST {
                return Err(format!("more than {GLOBS_MOST} globs"));
            }
            let trimmed = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
            let glob = trimmed.trim_start_matches('/');
            let mut built = GlobBuilder::new(glob);
            let built = built.literal_separator(true).backslash_escape(true).build();
            let built = built.map_err(|error| format!("{text}: {}", error.kind()))?;
            if glob.is_empty() {
                return Err(format!("'{text}' names nothing"));
            }
            if trimmed.contains('/') {
                anchored.add(built);
                let end = glob.find(['*', '?', '[', '{', '\\']).unwrap_or(glob.len());
                beginnings.push(glob.as_bytes()[..end].to_vec());
            } else {
                names.add(built);
            }
        }
        let finish = |set: &GlobSetBuilder| set.build().map_err(|error| error.to_string());
        Ok(Self { names: finish(&names)?, anchored: finish(&anchored)?, beginnings })
    }

    /// Whether a listed path, or a directory above it, is named.
    fn takes(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        ends.chain([path.len()]).any(|end| {
            let above = &path[..end];
            self.names.is_match(as_path(file_name(above))) || self.anchored.is_match(as_path(above))
        })
    }

    fn reaches_into(&self, dir: &[u8]) -> bool {
        self.beginnings.iter().any(|start| lies_in(start, dir) || dir.starts_with(start))
    }
}

/// The globs that are in force for one seed.
#[derive(Debug)]
pub(crate) struct Includes {
    user: Globs,
    guarded: Globs,
    repo: Globs,
    prefix: Vec<u8>,
}

impl Includes {
    /// Takes the globs that were named (see `SeedOptions`) and reads the repository's file. A bad
    /// glob that was named is an error; a bad file of the repository is a notice.
    pub(crate) fn read(
        user: &[String],
        guarded: &[String],
        work: &Rooted,
        prefix: &[u8],
        notices: &mut Vec<String>,
    ) -> Result<Self, SeedError> {
        let named = |globs: &[String]| {
            Globs::build(globs.iter().map(String::as_str))
                .map_err(|why| SeedError::InvalidArgument { what: "the include globs".into(), why })
        };
        let (user, guarded) = (named(user)?, named(guarded)?);
        let text = match work.read(REPO_INCLUDE, REPO_INCLUDE_MOST) {
            Ok(contents) => contents.map_or_else(String::new, |found| shown(&found.bytes)),
            Err(SeedError::TooLarge { .. }) => {
                notices.push(".pyro/include is over 64 KiB and was not read".into());
                String::new()
            }
            Err(error) => return Err(error),
        };
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let repo = Globs::build(lines).unwrap_or_else(|why| {
            notices.push(format!(".pyro/include was not used: {why}"));
            Globs::default()
        });
        Ok(Self { user, guarded, repo, prefix: prefix.to_vec() })
    }

    /// The files below an ignored (or foreign) path that come along, and whether all of it does.
    /// `path` is from the checkout's root.
    pub(crate) fn select(
        &self,
        work: &Rooted,
        path: &[u8],
        is_dir: bool,
        most: u64,
    ) -> Result<(Vec<Vec<u8>>, bool), SeedError> {
        let by_user = self.user.takes(self.own(path));
        let by_repo = self.repo.takes(path) || self.guarded.takes(self.own(path));
        let mut found = Vec::new();
        if !is_dir {
            if by_user || (by_repo && !has_credential_component(path)) {
                found.push(path.to_vec());
            }
            return Ok((found, by_user || by_repo));
        }
        let may_reach = by_user
            || by_repo
            || self.user.reaches_into(self.own(path))
            || self.guarded.reaches_into(self.own(path))
            || self.repo.reaches_into(path);
        if may_reach {
            self.walk(work, path, (by_user, by_repo), 0, most, &mut found)?;
        }
        Ok((found, by_user || by_repo))
    }

    /// The path as the user's globs see it: from the seed's root.
    fn own<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        if self.prefix.is_empty() {
            return path;
        }
        path.get(self.prefix.len() + 1..).unwrap_or(b"")
    }

    fn walk(
        &self,
        work: &Rooted,
        dir: &[u8],
        (by_user, by_repo): (bool, bool),
        depth: usize,
        most: u64,
        found: &mut Vec<Vec<u8>>,
    ) -> Result<(), SeedError> {
        // A directory that cannot be read has nothing to bring.
        let names = work.names_in(dir).unwrap_or_default();
        for entry in names {
            if entry.name.eq_ignore_ascii_case(b".git") {
                continue;
            }
            let path = child(dir, &entry.name);
            let by_user = by_user || self.user.anchored.is_match(as_path(self.own(&path)));
            let by_repo = by_repo
                || self.repo.anchored.is_match(as_path(&path))
                || self.guarded.anchored.is_match(as_path(self.own(&path)));
            match entry.kind {
                Kind::Directory if depth < 256 => {
                    self.walk(work, &path, (by_user, by_repo), depth + 1, most, found)?;
                }
                Kind::File | Kind::Link
                    if by_user || (by_repo && !has_credential_component(&path)) =>
                {
                    found.push(path);
                    if found.len() as u64 > most {
                        let what = work.path().display().to_string();
                        return Err(SeedError::TooLarge { what, limit: format!("{most} files") });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_name() {
        for name in [".env", ".env.local", "a.pem", "B.KEY", "id_rsa", ".npmrc", "x.tfstate"] {
            assert!(looks_like_credential(name.as_bytes()), "{name}");
        }
        for name in ["env", "environment.rs", "keys.rs", "identity", "npmrc"] {
            assert!(!looks_like_credential(name.as_bytes()), "{name}");
        }
        assert!(has_credential_component(b"a/.env.d/x"));
    }

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["n/a.js", "n/.env", "n/d/b.js", "n/.git/config", ".env", "p/.pyro-x"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        dir
    }

    fn selected(user: &[&str], repo: Option<&str>, path: &str, is_dir: bool) -> Vec<String> {
        let dir = tree();
        if let Some(text) = repo {
            std::fs::create_dir(dir.path().join(".pyro")).unwrap();
            std::fs::write(dir.path().join(".pyro/include"), text).unwrap();
        }
        let work = Rooted::open(dir.path()).unwrap();
        let user: Vec<String> = user.iter().map(|glob| (*glob).to_owned()).collect();
        let includes = Includes::read(&user, &[], &work, b"", &mut Vec::new()).unwrap();
        let (found, _) = includes.select(&work, path.as_bytes(), is_dir, 100).unwrap();
        found.iter().map(|path| shown(path)).collect()
    }

    #[test]
    fn names_take_what_is_listed_and_anchored_globs_reach_inside() {
        assert_eq!(selected(&["n"], None, "n", true), ["n/.env", "n/a.js", "n/d/b.js"]);
        assert_eq!(selected(&["/n/**/*.js"], None, "n", true), ["n/a.js", "n/d/b.js"]);
        assert_eq!(selected(&["n/d"], None, "n", true), ["n/d/b.js"]);
        assert_eq!(selected(&[".env"], None, ".env", false), [".env"]);
        assert!(selected(&[".env"], None, "n", true).is_empty());
        assert!(selected(&["m/**"], None, "n", true).is_empty());
    }

    #[test]
    fn the_repo_never_reaches_credentials() {
        assert_eq!(selected(&[], Some("# all\nn\n"), "n", true), ["n/a.js", "n/d/b.js"]);
        assert!(selected(&[], Some("**\n.env\n"), ".env", false).is_empty());
        assert!(selected(&[], Some("[\n"), "n", true).is_empty());
    }

    #[test]
    fn what_a_model_names_never_reaches_credentials() {
        let dir = tree();
        let work = Rooted::open(dir.path()).unwrap();
        let selected = |glob: &str, path: &str, is_dir| {
            let guarded = [glob.to_owned()];
            let includes = Includes::read(&[], &guarded, &work, b"", &mut Vec::new()).unwrap();
            let (found, _) = includes.select(&work, path.as_bytes(), is_dir, 100).unwrap();
            found.iter().map(|path| shown(path)).collect::<Vec<_>>()
        };
        assert_eq!(selected("n", "n", true), ["n/a.js", "n/d/b.js"]);
        assert_eq!(selected("n/**", "n", true), ["n/a.js", "n/d/b.js"]);
        assert!(selected(".e*", ".env", false).is_empty());
        assert!(selected("../**", "n", true).is_empty());
    }

    #[test]
    fn a_bad_glob_of_the_user_is_an_argument_error() {
        let dir = tree();
        let work = Rooted::open(dir.path()).unwrap();
        let error = Includes::read(&["[".into()], &[], &work, b"", &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), "invalid_argument");
    }
}
