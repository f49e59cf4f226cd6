//! pyro's server as a chat host starts it: the program and its arguments, made and read back.

use std::path::{Component, Path, PathBuf};

use pyro_operations::{ServerFlags, chat_host::Scope};
use serde_json::Value;

use crate::{ChatHostError, Result, Surroundings};

/// What every argument list of the server has in front.
const VERB: [&str; 2] = ["mcp", "serve"];

/// A server as an entry of a chat host names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
}

/// The arguments of a server, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) flags: ServerFlags,
    /// What is no flag of a server: pins of the home and the configuration, above all.
    pub(crate) others: Vec<String>,
}

impl CommandLine {
    /// The words, with the program.
    pub(crate) fn words(&self) -> Vec<String> {
        std::iter::once(self.program.clone()).chain(self.arguments.iter().cloned()).collect()
    }

    /// Whether it is pyro's server, however it got there.
    pub(crate) fn is_pyro(&self) -> bool {
        let name = Path::new(&self.program).file_name().unwrap_or_default();
        let named = name.to_str().is_some_and(|name| name.starts_with("pyro"));
        named && self.arguments.windows(2).any(|pair| pair == VERB)
    }

    /// What the server is told; None when the arguments are not a server's.
    pub(crate) fn told(&self) -> Option<Told> {
        let rest = self.arguments.strip_prefix(VERB.map(str::to_owned).as_slice())?;
        let (flags, others) = ServerFlags::from_arguments(rest).ok()?;
        Some(Told { flags, others })
    }
}

impl Told {
    /// As arguments, always in the same order.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let verb = VERB.iter().map(|word| (*word).to_owned());
        verb.chain(self.others.iter().cloned()).chain(self.flags.arguments()).collect()
    }

    /// With what `upper` says where it says something: no flag of either is lost, except what
    /// cannot stand beside one of `upper`'s.
    pub(crate) fn under(&self, upper: &Self) -> Self {
        let others = if upper.others.is_empty() { &self.others } else { &upper.others };
        Self { flags: merged(&self.flags, &upper.flags), others: others.clone() }
    }

    /// Whether it says the same, in whatever order and spelling.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.flags == other.flags && self.others == other.others
    }
}

fn merged(lower: &ServerFlags, upper: &ServerFlags) -> ServerFlags {
    let mut lower = lower.clone();
    if upper.mode.is_some() || upper.profile.is_some() {
        (lower.mode, lower.profile) = (None, None);
    }
    if upper.project_path.is_some() || upper.repo_url.is_some() || upper.no_project_source {
        (lower.project_path, lower.repo_url, lower.repo_ref) = (None, None, None);
        lower.no_project_source = false;
    }
    let both = (serde_json::to_value(&lower), serde_json::to_value(upper));
    let (Ok(Value::Object(mut all)), Ok(Value::Object(over))) = both else { return lower };
    all.extend(over);
    serde_json::from_value(Value::Object(all)).unwrap_or(lower)
}

/// What a new server is started as.
pub(crate) fn program(here: &Surroundings, scope: Scope) -> String {
    match scope {
        Scope::User => here.binary.display().to_string(),
        Scope::Project => "pyro".to_owned(),
    }
}

/// The flags as an entry has them: paths that were meant from here stay what they are, wherever
/// the chat host starts the server.
pub(crate) fn placed(
    flags: &ServerFlags,
    here: &Surroundings,
    scope: Scope,
) -> Result<ServerFlags> {
    let mut flags = flags.clone();
    let paths = flags
        .project_path
        .iter_mut()
        .chain(flags.export_dir.iter_mut())
        .chain(flags.allow_paths.iter_mut());
    for path in paths {
        let whole = tidy(&here.cwd.join(&*path));
        let project = here.project();
        let kept = match whole.strip_prefix(&project) {
            // A project's file is the same for everybody who has the project.
            Ok(inside) if scope == Scope::Project => Path::new(".").join(inside),
            _ => whole.clone(),
        };
        *path = kept.to_str().map(str::to_owned).ok_or_else(|| ChatHostError::Unsuitable {
            step: "name a path in a chat host's file",
            why: format!("{} is not UTF-8", whole.display()),
            hint: "give another path".to_owned(),
        })?;
    }
    Ok(flags)
}

/// Without `.` and `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                tidy.pop();
            }
            part => tidy.push(part),
        }
    }
    tidy
}

#[cfg(test)]
mod tests {
    use pyro_operations::Mode;

    use super::*;

    fn line(words: &[&str]) -> CommandLine {
        CommandLine {
            program: words[0].to_owned(),
            arguments: words[1..].iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    #[test]
    fn pyro_is_known_by_its_name_and_its_verb() {
        assert!(line(&["/x/pyro", "mcp", "serve"]).is_pyro());
        assert!(line(&["pyro", "--home=/h", "mcp", "serve"]).is_pyro());
        assert!(!line(&["/x/other", "mcp", "serve"]).is_pyro());
        assert!(!line(&["/x/pyro", "serve"]).is_pyro());
    }

    #[test]
    fn no_flag_is_lost_between_two_sources() {
        let recorded =
            line(&["pyro", "mcp", "serve", "--home=/h", "--mode=inspect", "--max-cpus=2"]);
        let found =
            line(&["pyro", "mcp", "serve", "--environment", "debian:12", "--profile=vm-run"]);
        let both = recorded.told().unwrap().under(&found.told().unwrap());
        assert_eq!(
            both.arguments(),
            [
                "mcp",
                "serve",
                "--home=/h",
                "--profile=vm-run",
                "--environment=debian:12",
                "--max-cpus=2"
            ]
        );
        assert!(line(&["pyro", "serve"]).told().is_none());
        assert!(line(&["pyro", "mcp", "serve", "--mode=nope"]).told().is_none());
        let inspect = ServerFlags { mode: Some(Mode::Inspect), ..ServerFlags::default() };
        assert_eq!(
            line(&["p", "mcp", "serve", "--mode", "inspect"]).told().unwrap().flags,
            inspect
        );
    }

    #[test]
    fn paths_are_tidied() {
        assert_eq!(tidy(Path::new("/a/./b/../c")), Path::new("/a/c"));
    }
}
