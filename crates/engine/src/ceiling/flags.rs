//! From the flags of a server to its fence. A mistake in them is told to the person who starts the
//! server, in time, and not to a model later.

use std::path::{Path, PathBuf};

use pyro_model::MachineChoice;
use pyro_operations::{Code, Failure, Mode, ServerFlags};
use rustix::fs::{Access, access};

use super::{Fence, NetworkCeiling, ProjectSource, project::plainly};
use crate::{Settings, environment::HOST, seed};

impl Fence {
    /// The ceiling that these flags set, for a server in `cwd` (none, when that is gone).
    ///
    /// # Errors
    /// `invalid_argument`, `not_found` or `unsupported`, with the flag that is wrong.
    pub fn from_flags(
        flags: &ServerFlags,
        cwd: Option<&Path>,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        flags.check()?;
        let places = Places::new(cwd, settings);
        let project = match (&flags.project_path, &flags.repo_url) {
            (Some(path), _) => {
                ProjectSource::Directory(places.source("--project-path", path, true)?)
            }
            (None, Some(url)) => {
                seed::check_address(url, flags.repo_ref.as_deref())
                    .map_err(|error| wrong("--repo-url", &error.to_string()))?;
                ProjectSource::Repository { url: url.clone(), reference: flags.repo_ref.clone() }
            }
            (None, None) if flags.no_project_source => ProjectSource::default(),
            (None, None) => match cwd {
                Some(cwd) => ProjectSource::around(cwd, places.user.as_deref()),
                None => ProjectSource::Unusable {
                    why: "the directory that the server was started in is gone".to_owned(),
                },
            },
        };
        let allowed = flags.allow_paths.iter();
        let allow_paths = allowed.map(|path| places.source("--allow-path", path, false));
        let fence = Self {
            project,
            takes_roots: flags.project_path.is_none()
                && flags.repo_url.is_none()
                && !flags.no_project_source,
            allow_paths: allow_paths.collect::<Result<_, _>>()?,
            export_dir: flags.export_dir.as_deref().map(|path| places.exports(path)).transpose()?,
            environment: flags.environment.clone(),
            recommended_environment: flags.mode.and_then(Mode::environment),
            without_host: flags.mode.is_some_and(Mode::without_host),
            machine: flags.machine,
            network: network(flags)?,
            max_workspaces: at_least("--max-workspaces", flags.max_workspaces, 1)?,
            max_cpus: match at_least("--max-cpus", flags.max_cpus.map(u64::from), 1)? {
                Some(_) => flags.max_cpus,
                None => None,
            },
            max_memory_mib: at_least("--max-memory-mib", flags.max_memory_mib, 16)?,
        };
        fence.goes_together()?;
        Ok(fence)
    }

    /// Machine, environment and story.
    fn goes_together(&self) -> Result<(), Failure> {
        let Some(environment) = &self.environment else { return Ok(()) };
        let name = environment.parse::<pyro_environment::EnvironmentName>();
        if let Err(error) = name {
            return Err(wrong("--environment", &error.to_string()));
        }
        if environment != HOST {
            return Ok(());
        }
        if self.machine == Some(MachineChoice::Microvm) {
            return Err(Failure::new(
                Code::InvalidArgument,
                "--environment host and --machine microvm do not go together: the host's own toolchains are shown to containers only",
            )
            .hint("give another --environment, such as debian:12, or --machine container"));
        }
        if self.without_host {
            return Err(Failure::new(
                Code::InvalidArgument,
                "--environment host and --mode inspect do not go together: what is not trusted does not get the host's own toolchains",
            )
            .hint("leave --environment out for debian:12"));
        }
        Ok(())
    }
}

fn wrong(flag: &str, why: &str) -> Failure {
    Failure::new(Code::InvalidArgument, format!("{flag}: {why}"))
        .hint("`pyro mcp serve --help` says what it takes")
}

/// Egress is not built yet: a server that promised it would show a model a network that is none.
fn network(flags: &ServerFlags) -> Result<NetworkCeiling, Failure> {
    let unsupported = |flag: &str| {
        Err(Failure::new(
            Code::Unsupported,
            format!("{flag} is not built yet: workspaces have no network"),
        )
        .hint("leave it out, or give --network off")
        .detail("instead", "--network off"))
    };
    match flags.network.as_deref() {
        Some("egress") => unsupported("--network egress"),
        Some(other) if other != "off" => {
            Err(wrong("--network", &format!("`{other}` is no policy; give off")))
        }
        _ if !flags.allow_hosts.is_empty() => unsupported("--allow-host"),
        _ => Ok(NetworkCeiling::Off),
    }
}

fn at_least(flag: &str, given: Option<u64>, least: u64) -> Result<Option<u64>, Failure> {
    match given {
        Some(number) if number < least => Err(wrong(flag, &format!("give at least {least}"))),
        given => Ok(given),
    }
}

/// Directories that flags are judged by.
struct Places<'a> {
    cwd: Option<&'a Path>,
    user: Option<PathBuf>,
    pyro: PathBuf,
}

impl<'a> Places<'a> {
    fn new(cwd: Option<&'a Path>, settings: &Settings) -> Self {
        let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let user = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Self { cwd, user: user.as_deref().map(canonical), pyro: canonical(&settings.home) }
    }

    fn absolute(&self, flag: &str, path: &str) -> Result<PathBuf, Failure> {
        let path = Path::new(path);
        match self.cwd {
            _ if path.is_absolute() => Ok(path.to_owned()),
            Some(cwd) => Ok(cwd.join(path)),
            None => Err(wrong(flag, "the current directory is gone; give an absolute path")),
        }
    }

    fn canonical(&self, flag: &str, path: &str) -> Result<PathBuf, Failure> {
        let path = self.absolute(flag, path)?;
        path.canonicalize().map_err(|error| unopened(flag, &path, &error))
    }

    /// A place that models may copy from.
    fn source(&self, flag: &str, path: &str, must_be_directory: bool) -> Result<PathBuf, Failure> {
        let path = self.canonical(flag, path)?;
        self.narrow_enough(flag, &path)?;
        if path.is_dir() {
            let look = std::fs::read_dir(&path).map(|_| ());
            look.map_err(|error| unopened(flag, &path, &error))?;
        } else if must_be_directory {
            return Err(wrong(flag, &format!("{} is no directory", plainly(&path))));
        }
        Ok(path)
    }

    /// A place where exports land. It may be missing, the directory above it may not.
    fn exports(&self, path: &str) -> Result<PathBuf, Failure> {
        const FLAG: &str = "--export-dir";
        let given = self.absolute(FLAG, path)?;
        let path = match (given.symlink_metadata(), given.file_name(), given.parent()) {
            (Err(error), Some(name), Some(above))
                if error.kind() == std::io::ErrorKind::NotFound =>
            {
                let above = above.canonicalize().map_err(|error| unopened(FLAG, above, &error))?;
                above.join(name)
            }
            _ => given.canonicalize().map_err(|error| unopened(FLAG, &given, &error))?,
        };
        if path.exists() && !path.is_dir() {
            return Err(wrong(FLAG, &format!("{} is no directory", plainly(&path))));
        }
        if path.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git")) {
            return Err(wrong(
                FLAG,
                "the inside of a Git repository is no place for what a model wrote",
            ));
        }
        self.narrow_enough(FLAG, &path)?;
        let existing = if path.exists() { path.as_path() } else { path.parent().unwrap_or(&path) };
        access(existing, Access::WRITE_OK)
            .map_err(|errno| unopened(FLAG, existing, &errno.into()))?;
        Ok(path)
    }

    /// Neither everything, nor a whole home, nor pyro's own files.
    fn narrow_enough(&self, flag: &str, path: &Path) -> Result<(), Failure> {
        let why = if path == Path::new("/") {
            "it is the whole file system"
        } else if self.user.as_ref().is_some_and(|user| user.starts_with(path)) {
            "it holds a whole home directory, with its keys"
        } else if path.starts_with(&self.pyro) {
            "it lies in pyro's own home"
        } else {
            return Ok(());
        };
        Err(Failure::new(Code::InvalidArgument, format!("{flag}: {}: {why}", plainly(path)))
            .hint("name a part of it"))
    }
}

fn unopened(flag: &str, path: &Path, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => Code::NotFound,
        _ => Code::InvalidArgument,
    };
    Failure::new(code, format!("{flag}: {}: {error}", plainly(path)))
        .hint("give a directory that exists and that you may use")
        .detail("kind", "path")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(folder: &Path, flags: &ServerFlags) -> Result<Fence, Failure> {
        let settings = Settings { home: folder.join("pyro-home"), ..Settings::default() };
        Fence::from_flags(flags, Some(folder), &settings)
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        for name in ["project/.git/x", "pyro-home/tmp", "data"] {
            std::fs::create_dir_all(at.join(name)).unwrap();
        }
        std::fs::write(at.join("file"), "").unwrap();
        (folder, at)
    }

    #[test]
    fn paths_are_settled_once() {
        let (_folder, at) = place();
        std::os::unix::fs::symlink(at.join("data"), at.join("link")).unwrap();
        let flags = ServerFlags {
            project_path: Some("project/../link".to_owned()),
            allow_paths: vec!["file".to_owned(), at.join("data").display().to_string()],
            export_dir: Some("out".to_owned()),
            ..ServerFlags::default()
        };
        let fence = fence(&at, &flags).unwrap();
        assert_eq!(fence.project, ProjectSource::Directory(at.join("data")));
        assert_eq!(fence.allow_paths, [at.join("file"), at.join("data")]);
        assert_eq!(fence.export_dir, Some(at.join("out")));
        assert!(!fence.takes_roots);
        assert!(!at.join("out").exists(), "nothing is made at the start");
    }

    #[test]
    fn wrong_places_are_told_at_the_start() {
        let (_folder, at) = place();
        let project = |path: &str| ServerFlags {
            project_path: Some(path.to_owned()),
            ..ServerFlags::default()
        };
        let allow = |path: &str| ServerFlags {
            allow_paths: vec![path.to_owned()],
            ..ServerFlags::default()
        };
        let export = |path: &str| ServerFlags {
            export_dir: Some(path.to_owned()),
            ..ServerFlags::default()
        };
        let home = std::env::var("HOME").unwrap();
        for (flags, code, says) in [
            (project("gone"), Code::NotFound, "--project-path"),
            (project("file"), Code::InvalidArgument, "no directory"),
            (project("/"), Code::InvalidArgument, "whole file system"),
            (project(&home), Code::InvalidArgument, "home directory"),
            (project("pyro-home/tmp"), Code::InvalidArgument, "pyro's own"),
            (allow("gone"), Code::NotFound, "--allow-path"),
            (allow(&home), Code::InvalidArgument, "home directory"),
            (allow("pyro-home"), Code::InvalidArgument, "pyro's own"),
            (export("a/b"), Code::NotFound, "--export-dir"),
            (export("file"), Code::InvalidArgument, "no directory"),
            (export("project/.git/x"), Code::InvalidArgument, "Git repository"),
            (export("pyro-home/new"), Code::InvalidArgument, "pyro's own"),
        ] {
            let refused = fence(&at, &flags).unwrap_err();
            assert_eq!(refused.code, code, "{flags:?}: {refused:?}");
            assert!(refused.message.contains(says), "{refused:?}");
            assert!(!refused.hint.is_empty(), "{refused:?}");
        }
    }

    #[test]
    fn what_does_not_go_together_or_does_not_exist_is_refused() {
        let (_folder, at) = place();
        let none = ServerFlags::default;
        let text = |text: &str| Some(text.to_owned());
        let machine = Some(MachineChoice::Microvm);
        for (flags, code) in [
            (ServerFlags { machine, environment: text("host"), ..none() }, Code::InvalidArgument),
            (
                ServerFlags { mode: Some(Mode::Inspect), environment: text("host"), ..none() },
                Code::InvalidArgument,
            ),
            (ServerFlags { environment: text("no such/../name"), ..none() }, Code::InvalidArgument),
            (ServerFlags { network: text("egress"), ..none() }, Code::Unsupported),
            (ServerFlags { network: text("wide"), ..none() }, Code::InvalidArgument),
            (ServerFlags { allow_hosts: vec!["h".to_owned()], ..none() }, Code::Unsupported),
            (ServerFlags { max_workspaces: Some(0), ..none() }, Code::InvalidArgument),
            (ServerFlags { max_cpus: Some(0), ..none() }, Code::InvalidArgument),
            (ServerFlags { max_memory_mib: Some(8), ..none() }, Code::InvalidArgument),
            (ServerFlags { repo_url: text("ext::sh -c id"), ..none() }, Code::InvalidArgument),
            (ServerFlags { repo_url: text("git@h:a"), ..none() }, Code::InvalidArgument),
            (ServerFlags { repo_url: text("--upload-pack=id"), ..none() }, Code::InvalidArgument),
            (
                ServerFlags { repo_url: text("https://h/a"), repo_ref: text("-x"), ..none() },
                Code::InvalidArgument,
            ),
        ] {
            let refused = fence(&at, &flags).unwrap_err();
            assert_eq!(refused.code, code, "{flags:?}: {refused:?}");
        }
        let off = fence(&at, &ServerFlags { network: text("off"), ..none() }).unwrap();
        assert_eq!(off.network, NetworkCeiling::Off);
    }

    #[test]
    fn a_bare_server_starts_wherever_it_is() {
        let (_folder, at) = place();
        let settings = Settings { home: at.join("pyro-home"), ..Settings::default() };
        let bare = ServerFlags::default();
        for cwd in [Some(at.join("project")), Some(at.join("gone")), Some("/".into()), None] {
            let fence = Fence::from_flags(&bare, cwd.as_deref(), &settings).unwrap();
            assert_eq!(fence.project.directory(), None, "{cwd:?}");
            assert!(fence.takes_roots);
        }
    }

    #[test]
    fn a_story_recommends_its_environment() {
        let (_folder, at) = place();
        let mode =
            |mode| fence(&at, &ServerFlags { mode: Some(mode), ..ServerFlags::default() }).unwrap();
        let inspect = mode(Mode::Inspect);
        assert_eq!(inspect.recommended_environment, Some("debian:12"));
        assert!(!inspect.allows_environment(HOST) && inspect.allows_environment("debian:12"));
        assert_eq!(mode(Mode::ColdStart).recommended_environment, Some("debian:12-build"));
        assert!(mode(Mode::ReproFix).allows_environment(HOST));
    }
}
