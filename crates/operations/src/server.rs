//! What `pyro mcp serve` is told: which tools it shows, and the ceiling that its user sets for the
//! model. Written once: the command line's flags, what `host connect` writes into a chat host's
//! configuration, and what `host doctor` reads back there are all made from these fields.

use pyro_model::MachineChoice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Code, Failure,
    request::{Mode, Profile, Toolset},
    schema,
};

/// The flags of a server. A model can narrow what they say, never widen it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerFlags {
    /// Which tools the server shows; workspace-core when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The one story that the server is for, instead of a profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The project that workspaces begin with; the Git checkout around the current directory when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_path: Option<String>,
    /// The project as a repository: https:// or file://.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_url: Option<String>,
    /// The branch, tag or commit of --repo-url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_ref: Option<String>,
    /// No project: workspaces begin empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_project_source: bool,
    /// Another host directory that may be copied from; repeatable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-flag" = "allow-path"))]
    pub allow_paths: Vec<String>,
    /// Where exports land; .pyro/exports in the project when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_dir: Option<String>,
    /// The only environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The only machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineChoice>,
    /// The widest network policy of a workspace: off, or egress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// A host that workspaces may contact; repeatable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-flag" = "allow-host"))]
    pub allow_hosts: Vec<String>,
    /// Workspaces at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_workspaces: Option<u64>,
    /// Cores of a workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cpus: Option<u32>,
    /// Memory of a workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_mib: Option<u64>,
    /// Serve HTTP on this loopback address instead of standard input: 127.0.0.1:PORT; clients send
    /// the bearer token in `mcp-token` of the home. Only when the server is started by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
}

impl ServerFlags {
    /// What stands above the flags where a command has them beside its own.
    pub const HEADING: &'static str =
        "The server: a model can narrow what these say, never widen it";

    /// Rules across flags.
    ///
    /// # Errors
    /// `invalid_argument`, naming the flags.
    pub fn check(&self) -> Result<(), Failure> {
        let sources = [
            (self.project_path.is_some(), "--project-path"),
            (self.repo_url.is_some(), "--repo-url"),
            (self.no_project_source, "--no-project-source"),
        ];
        let given: Vec<&str> =
            sources.iter().filter_map(|(given, flag)| given.then_some(*flag)).collect();
        if let [one, other, ..] = given.as_slice() {
            return Err(both(one, other));
        }
        if self.profile.is_some() && self.mode.is_some() {
            return Err(both("--profile", "--mode"));
        }
        if self.repo_ref.is_some() && self.repo_url.is_none() {
            return Err(Failure::new(
                Code::InvalidArgument,
                "--repo-ref is of use only with --repo-url",
            ));
        }
        Ok(())
    }

    /// Which tools they ask for.
    #[must_use]
    pub fn toolset(&self) -> Toolset {
        match (self.mode, self.profile) {
            (Some(mode), _) => Toolset::Mode(mode),
            (None, profile) => Toolset::Profile(profile.unwrap_or(Profile::WorkspaceCore)),
        }
    }

    /// As arguments of `pyro mcp serve`, always in the same order.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let Ok(Value::Object(given)) = serde_json::to_value(self) else { return arguments };
        for (name, property) in properties() {
            let flag = flag(&name, &property);
            let mut push = |value: &Value| arguments.push(format!("--{flag}={}", plain(value)));
            match given.get(&name) {
                None => {}
                Some(Value::Bool(_)) => arguments.push(format!("--{flag}")),
                Some(Value::Array(values)) => values.iter().for_each(&mut push),
                Some(value) => push(value),
            }
        }
        arguments
    }

    /// The flags among `arguments`, which stand after `mcp serve` (`--flag VALUE` or
    /// `--flag=VALUE`), and the arguments that are none of them, as they are.
    ///
    /// # Errors
    /// `invalid_argument` for a flag without its value, or a value that it cannot have.
    pub fn from_arguments(arguments: &[String]) -> Result<(Self, Vec<String>), Failure> {
        let known = properties();
        let (mut given, mut others) = (Map::new(), Vec::new());
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let (word, attached) = match argument.split_once('=') {
                Some((word, value)) => (word, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let found = word
                .strip_prefix("--")
                .and_then(|word| known.iter().find(|(name, p)| flag(name, p) == word));
            let Some((name, property)) = found else {
                others.push(argument.clone());
                continue;
            };
            let kind = property["type"].as_str().unwrap_or_default();
            if kind == "boolean" {
                given.insert(name.clone(), Value::Bool(true));
                continue;
            }
            let value = attached.or_else(|| arguments.next().cloned()).ok_or_else(|| {
                Failure::new(Code::InvalidArgument, format!("{word}: its value is missing"))
            })?;
            match kind {
                "array" => {
                    let list =
                        given.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                    if let Value::Array(list) = list {
                        list.push(Value::String(value));
                    }
                }
                "integer" => {
                    let number: u64 = value.parse().map_err(|_| {
                        Failure::new(
                            Code::InvalidArgument,
                            format!("{word}: `{value}` is no number"),
                        )
                    })?;
                    given.insert(name.clone(), Value::from(number));
                }
                _ => {
                    given.insert(name.clone(), Value::String(value));
                }
            }
        }
        let flags = serde_json::from_value(Value::Object(given)).map_err(|error| {
            Failure::new(Code::InvalidArgument, format!("the flags of `mcp serve`: {error}"))
        })?;
        Ok((flags, others))
    }
}

fn both(one: &str, other: &str) -> Failure {
    Failure::new(Code::InvalidArgument, format!("{one} and {other} cannot be given together"))
}

fn properties() -> Vec<(String, Value)> {
    let schema = schema::of::<ServerFlags>();
    let properties = schema["properties"].as_object();
    properties.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn flag(name: &str, property: &Value) -> String {
    property["x-flag"].as_str().map_or_else(|| name.replace('_', "-"), str::to_owned)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_survive_as_arguments() {
        let flags = ServerFlags {
            mode: Some(Mode::Inspect),
            project_path: Some("/a dir/--x=y".to_owned()),
            allow_paths: vec!["/b".to_owned(), "-c".to_owned()],
            machine: Some(MachineChoice::Microvm),
            max_cpus: Some(3),
            ..ServerFlags::default()
        };
        let mut arguments = flags.arguments();
        assert_eq!(arguments[0], "--mode=inspect");
        arguments.insert(1, "--home=/h".to_owned());
        let (read, others) = ServerFlags::from_arguments(&arguments).unwrap();
        assert_eq!(read, flags);
        assert_eq!(others, ["--home=/h"]);
        let (none, _) = ServerFlags::from_arguments(&[]).unwrap();
        assert_eq!(none, ServerFlags::default());
        assert!(none.arguments().is_empty());
    }

    #[test]
    fn flags_are_read_with_a_space_too_and_wrong_ones_are_refused() {
        let read = |words: &[&str]| {
            ServerFlags::from_arguments(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
        };
        let (flags, others) =
            read(&["--allow-path", "/a", "--no-project-source", "--later", "x"]).unwrap();
        assert_eq!(flags.allow_paths, ["/a"]);
        assert!(flags.no_project_source);
        assert_eq!(others, ["--later", "x"]);
        assert!(read(&["--max-cpus", "many"]).is_err());
        assert!(read(&["--mode", "unknown"]).is_err());
        assert!(read(&["--repo-url"]).is_err());
    }

    #[test]
    fn flags_that_exclude_each_other_are_named() {
        let both = ServerFlags {
            profile: Some(Profile::VmRun),
            mode: Some(Mode::Inspect),
            ..ServerFlags::default()
        };
        let message = both.check().unwrap_err().message;
        assert!(message.contains("--profile") && message.contains("--mode"), "{message}");
        let sources = ServerFlags {
            no_project_source: true,
            repo_url: Some("https://h/r".to_owned()),
            ..ServerFlags::default()
        };
        assert!(sources.check().is_err());
    }
}
