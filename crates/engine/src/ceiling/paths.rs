//! The one place where a host path that a model named is judged, before anything is done with it.
//!
//! Inside the project and `--allow-path` it may be read; elsewhere it is refused, or the person is
//! asked, where the door has a way to ask. No answer is a no. What lies in a repository's `.git`
//! is never read as it is, and of ignored files none that looks like a credential.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use pyro_operations::{Code, Failure};

use super::{
    Fence, ProjectSource,
    project::{is_plain, plainly},
};
use crate::{Context, Engine, seed};

/// Characters of a path that a refusal shows.
const SHOWN: usize = 800;

/// What a person is asked: whether a model may have something that the user's flags do not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The host path that would be read, canonical.
    pub path: PathBuf,
    /// The question in words, with the path as it is.
    pub text: String,
}

/// Asks the person; false for every answer that is not an explicit yes.
pub type Asker = Arc<dyn Fn(&Question) -> bool + Send + Sync>;

/// Why a path may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// It is the project, or lies in it.
    Project,
    /// The person named it: on the command line, with `--allow-path`, or by a yes.
    Named,
}

/// Whether the call may copy from this canonical host path into a workspace. `field` is the
/// argument that named it, as `given`: a refusal shows that, for where a link leads (one below
/// `/proc`, say) is nothing that a model may learn.
pub(crate) fn readable(
    engine: &Engine,
    context: &Context,
    field: &str,
    given: &Path,
    path: &Path,
) -> Result<Ground, Failure> {
    let Some(fence) = context.fence() else { return Ok(Ground::Named) };
    let of_pyro = engine.settings().home.canonicalize().is_ok_and(|home| path.starts_with(home));
    match place_of(fence, path) {
        _ if of_pyro => Err(outside(field, given)),
        Place::Allowed(ground) => Ok(ground),
        Place::InsideGit => Err(Failure::new(
            Code::NotPermitted,
            format!("{field}: {} is the inside of a Git repository", plainly(path)),
        )
        .hint("name the checkout: its history comes along without hooks and credentials")),
        Place::Credential => Err(Failure::new(
            Code::NotPermitted,
            format!("{field}: {} looks like a credential", plainly(path)),
        )
        .hint("do without it, or ask the person to start the server with --allow-path for it")),
        Place::Outside => {
            let askable = context.ask.as_ref().filter(|_| may_be_asked_for(engine, path));
            if let Some(ask) = askable
                && ask(&question(path))
            {
                return Ok(Ground::Named);
            }
            Err(outside(field, given))
        }
    }
}

fn outside(field: &str, path: &Path) -> Failure {
    let shown: String = plainly(path).chars().take(SHOWN).collect();
    let message = format!("{field}: {shown} is outside what this server may read");
    Failure::new(Code::NotPermitted, message).hint(format!(
        "leave {field} out to use the project, or ask the person to start the server with --allow-path"
    ))
}

/// Whether the call may hear that this path, which cannot be looked at, does not exist: a model
/// learns nothing of what there is outside.
pub(crate) fn tellable(context: &Context, field: &str, path: &Path) -> Result<(), Failure> {
    let Some(fence) = context.fence() else { return Ok(()) };
    let nearest = path.ancestors().find_map(|above| above.canonicalize().ok());
    match nearest.map(|path| place_of(fence, &path)) {
        Some(Place::Allowed(_)) => Ok(()),
        _ => Err(outside(field, path)),
    }
}

/// Where a path lies.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Allowed(Ground),
    InsideGit,
    Credential,
    Outside,
}

fn place_of(fence: &Fence, path: &Path) -> Place {
    let project = fence.project.directory();
    let named = fence.allow_paths.iter().map(|root| (root.as_path(), false));
    let roots = named.chain(project.map(|root| (root, true)));
    let mut place = Place::Outside;
    for (root, is_project) in roots {
        let Ok(below) = path.strip_prefix(root) else { continue };
        let names = || below.components().map(|part| part.as_os_str().as_encoded_bytes());
        if names().any(|name| name.eq_ignore_ascii_case(b".git")) {
            place = Place::InsideGit;
        } else if is_project && !path.is_dir() && names().any(seed::looks_like_credential) {
            place = Place::Credential;
        } else {
            return Place::Allowed(if is_project { Ground::Project } else { Ground::Named });
        }
    }
    place
}

/// Paths that no answer makes readable: they hold everything, or pyro's own records, or cannot be
/// shown to a person as they are.
fn may_be_asked_for(engine: &Engine, path: &Path) -> bool {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let pyro = Some(engine.settings().home.clone());
    let canonical = |path: Option<PathBuf>| path.and_then(|path| path.canonicalize().ok());
    let (home, pyro) = (canonical(home), canonical(pyro));
    let holds = |inner: &Option<PathBuf>| inner.as_ref().is_some_and(|p| p.starts_with(path));
    let in_pyro = pyro.as_ref().is_some_and(|pyro| path.starts_with(pyro));
    let in_git = path.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git"));
    let plain = path.to_str().is_some_and(|text| text.chars().all(is_plain) && text.len() <= 1024);
    path != Path::new("/") && !holds(&home) && !holds(&pyro) && !in_pyro && !in_git && plain
}

fn question(path: &Path) -> Question {
    let what = if path.is_dir() { "the whole directory" } else { "the archive" };
    let text = format!(
        "The model asks pyro to copy {what} {} from this computer into a disposable workspace. \
         It is outside what this server may read. The model could then read everything in it and \
         run commands on the copy; nothing on this computer is changed. Allow it this once?",
        path.display()
    );
    Question { path: path.to_owned(), text }
}

/// The reference of a repository that a model named: the user's address, and where the user named
/// a reference as well, no other. Returns the user's own address with it.
pub(crate) fn repository(
    fence: &Fence,
    url: &str,
    asked: Option<&str>,
) -> Result<(String, Option<String>), Failure> {
    let refused = |what: &str| {
        Err(Failure::new(
            Code::NotPermitted,
            format!("{what}: this server does not allow it"),
        )
        .hint("leave it out to use the project, or ask the person to start the server with --repo-url"))
    };
    if let ProjectSource::Repository { url: pinned, reference } = &fence.project
        && (url == pinned || url == seed::without_user_info(pinned).0)
    {
        return match (reference, asked) {
            (Some(reference), Some(asked)) if asked != reference => refused("repo_ref"),
            (Some(reference), _) => Ok((pinned.clone(), Some(reference.clone()))),
            (None, asked) => Ok((pinned.clone(), asked.map(str::to_owned))),
        };
    }
    if url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) {
        // A host path in other words: the repository there could point to any other.
        return Err(Failure::new(
            Code::NotPermitted,
            "repo_url: a repository on this host is read as a directory only",
        )
        .hint("give its path as seed_path: its history comes along"));
    }
    refused("repo_url")
}

/// The globs of ignored files that a model may name: none that asks for a credential by its name.
/// What a wider glob meets of them stays out.
pub(crate) fn globs(globs: &[String]) -> Result<(), Failure> {
    let asks = |glob: &&String| glob.split('/').any(names_credential);
    match globs.iter().find(asks) {
        None => Ok(()),
        Some(glob) => Err(Failure::new(
            Code::NotPermitted,
            format!(
                "include: `{}` asks for what looks like a credential",
                crate::lookup::short(glob)
            ),
        )
        .hint("do without it, or ask the person to name it in the configuration's seed.include")),
    }
}

/// Whether a part of a glob spells a credential's name, or its ending: `.env*`, `*.pem`.
fn names_credential(part: &str) -> bool {
    let words = part.split(['*', '?', '[', ']', '{', '}', '\\', '!', ',']);
    words.map(str::as_bytes).any(seed::looks_like_credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_judged_by_where_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().canonicalize().unwrap();
        for place in [".git/hooks", "sub/.GIT/modules", "src"] {
            std::fs::create_dir_all(project.join(place)).unwrap();
        }
        for file in [".env.tar", "src/x.tar"] {
            std::fs::write(project.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(".git", project.join("link")).unwrap();
        let fence =
            Fence { project: ProjectSource::Directory(project.clone()), ..Fence::default() };
        let asked = |fence: &Fence, path: &str| {
            place_of(fence, &project.join(path).canonicalize().unwrap())
        };
        for inside in [".git", ".git/hooks", "sub/.GIT/modules", "link", "link/hooks"] {
            assert_eq!(asked(&fence, inside), Place::InsideGit, "{inside}");
        }
        assert_eq!(asked(&fence, "src"), Place::Allowed(Ground::Project));
        assert_eq!(asked(&fence, "src/x.tar"), Place::Allowed(Ground::Project));
        assert_eq!(asked(&fence, ".env.tar"), Place::Credential);
        assert_eq!(asked(&fence, ".."), Place::Outside);
        assert_eq!(place_of(&Fence::default(), &project), Place::Outside);
        // What the person allowed by name is the person's affair.
        let allowed = Fence { allow_paths: vec![project.join(".git/hooks")], ..fence };
        assert_eq!(asked(&allowed, ".git/hooks"), Place::Allowed(Ground::Named));
        assert_eq!(asked(&allowed, ".git"), Place::InsideGit);
        // A neighbour whose name begins alike is not inside.
        let neighbour = Fence { allow_paths: vec![project.join("sr")], ..Fence::default() };
        assert_eq!(asked(&neighbour, "src"), Place::Outside);
    }

    #[test]
    fn a_model_takes_no_other_repository_than_the_pinned_one() {
        let fence = |url: &str, reference: Option<&str>| Fence {
            project: ProjectSource::Repository {
                url: url.to_owned(),
                reference: reference.map(str::to_owned),
            },
            ..Fence::default()
        };
        let asked = |reference, url, asked| {
            repository(&fence("https://h/a", reference), url, asked)
                .map(|(_, reference)| reference)
                .map_err(|failure| failure.code)
        };
        let main = || Ok(Some("main".to_owned()));
        assert_eq!(asked(Some("main"), "https://h/a", None), main());
        assert_eq!(asked(Some("main"), "https://h/a", Some("main")), main());
        assert_eq!(asked(Some("main"), "https://h/a", Some("v1")), Err(Code::NotPermitted));
        assert_eq!(asked(None, "https://h/a", Some("main")), main());
        for other in [
            "https://h/b",
            "https://h/a/",
            "https://u:p@h/a",
            "ext::sh -c id",
            "--upload-pack=id",
            "ssh://h/a",
            "git@h:a",
            "file:///etc",
            "FILE:///etc",
            "/etc",
            "",
            "é",
        ] {
            assert_eq!(asked(None, other, None), Err(Code::NotPermitted), "{other}");
            let none = repository(&Fence::default(), other, None).unwrap_err();
            assert_eq!(none.code, Code::NotPermitted, "{other}");
        }
        // The model sees the address without its secret, and may name it so.
        let secret = fence("https://u:p@h/a", None);
        let (url, _) = repository(&secret, "https://h/a", None).unwrap();
        assert_eq!(url, "https://u:p@h/a");
    }

    #[test]
    fn globs_that_name_credentials_are_refused() {
        for bad in [
            ".env",
            ".env*",
            "a/.env.local",
            "*.pem",
            "**/*.key",
            "id_*",
            "id_rsa",
            ".npmrc",
            "**/.netrc",
            "{.env,a}",
        ] {
            let refused = globs(&["a".to_owned(), bad.to_owned()]);
            assert_eq!(refused.map_err(|f| f.code), Err(Code::NotPermitted), "{bad}");
        }
        for good in ["node_modules", "**", "*", "target/**/*.rs", ".venv", "identity", "*.keys"] {
            assert_eq!(globs(&[good.to_owned()]), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_question_names_the_path_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let question = question(folder.path());
        assert!(question.text.contains(folder.path().to_str().unwrap()));
        assert!(question.text.contains("the whole directory"));
    }
}
