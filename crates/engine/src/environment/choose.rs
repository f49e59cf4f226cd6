//! The environment of a new workspace, ready to be its root. Which one: `choice`.

use std::path::PathBuf;

use pyro_environment::{
    host::{HostEnvironment, HostOptions, describe},
    tools::{Tool, ToolRoot, needed_tools, tools_lacking},
};
use pyro_model::Bind;
use pyro_operations::{Code, Failure, reply::LackingTool};

use crate::{Context, Engine, failure::OrFail};

/// The name of the environment that is the host's own toolchains.
pub(crate) const HOST: &str = "host";
/// Where programs are in an image that does not say.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An environment, ready to be a workspace's root.
pub(crate) struct Chosen {
    pub(crate) name: String,
    pub(crate) digest: Option<String>,
    pub(crate) is_host: bool,
    pub(crate) root_lowers: Vec<PathBuf>,
    pub(crate) binds: Vec<Bind>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) notices: Vec<String>,
    host: Option<HostEnvironment>,
    /// Keeps it from being pruned.
    pub(crate) held: Box<dyn std::any::Any + Send>,
}

impl Engine {
    /// The environment of that name.
    pub(crate) fn environment(&self, name: &str, context: &Context) -> Result<Chosen, Failure> {
        if name == HOST { self.host_environment() } else { self.installed(name, context) }
    }

    /// The host's own toolchains.
    pub(crate) fn host_environment(&self) -> Result<Chosen, Failure> {
        let options = HostOptions::of_this_process(self.settings().config.host.extra_paths.clone());
        let host = describe(&options, &self.layout().environments().join(HOST)).or_fail()?;
        Ok(Chosen {
            name: HOST.to_owned(),
            digest: None,
            is_host: true,
            root_lowers: vec![host.skeleton.clone()],
            binds: host.binds.clone(),
            variables: host.variables.clone(),
            notices: host.notices.clone(),
            host: Some(host),
            held: Box::new(()),
        })
    }

    fn installed(&self, name: &str, context: &Context) -> Result<Chosen, Failure> {
        let parsed = name.parse().or_fail()?;
        let cache = self.environments()?;
        let installed = match cache.resolve(&parsed) {
            Ok(installed) => installed,
            Err(error) => {
                let hint = error.hint();
                let mut failure = crate::failure::IntoFailure::into_failure(error);
                if failure.code == Code::NotFound && looks_like_a_command(name) {
                    failure = failure.hint(format!(
                        "`{name}` looks like a command: put `--` before it, as in `pyro run -- {name}`"
                    ));
                } else if context.door == crate::Door::Mcp
                    && failure.code == Code::EnvironmentMissing
                {
                    failure = failure.hint(format!(
                        "ask the person to run `pyro env pull {name}`, or leave environment out"
                    ));
                } else if let Some(hint) = hint {
                    failure = failure.hint(hint);
                }
                return Err(failure);
            }
        };
        let mut variables: Vec<(String, String)> = installed
            .manifest
            .image
            .env
            .iter()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if !variables.iter().any(|(name, _)| name == "PATH") {
            variables.push(("PATH".to_owned(), USUAL_PATH.to_owned()));
        }
        Ok(Chosen {
            name: name.to_owned(),
            digest: Some(installed.digest().as_str().to_owned()),
            is_host: false,
            root_lowers: vec![installed.rootfs.clone()],
            binds: Vec::new(),
            variables,
            notices: Vec::new(),
            host: None,
            held: Box::new(installed),
        })
    }
}

fn looks_like_a_command(name: &str) -> bool {
    let on_path = |name: &str| {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
    };
    name.starts_with("./") || (!name.contains([':', '/']) && on_path(name))
}

impl Chosen {
    /// Tools that the project needs and this environment lacks.
    pub(crate) fn lacking(&self, top_level: &[String]) -> Vec<LackingTool> {
        let names: Vec<&str> = top_level.iter().map(String::as_str).collect();
        let needed = needed_tools(&names);
        if needed.is_empty() {
            return Vec::new();
        }
        let path = self.variables.iter().find(|(name, _)| name == "PATH").map_or("", |(_, v)| v);
        let here = match (&self.host, self.root_lowers.first()) {
            (Some(host), _) => ToolRoot::Host(host),
            (None, Some(root)) => ToolRoot::Rootfs { name: &self.name, root, path },
            (None, None) => return Vec::new(),
        };
        tools_lacking(&needed, here, None)
            .into_iter()
            .map(|lacking| LackingTool {
                tool: lacking.tool.name().to_owned(),
                needed_by: lacking.because,
                environment: lacking.found_in.into_iter().next(),
            })
            .collect()
    }
}

impl Chosen {
    /// Every known tool that the host's environment has.
    pub(super) fn tools(&self) -> Vec<String> {
        let Some(host) = &self.host else { return Vec::new() };
        let root = ToolRoot::Host(host);
        Tool::ALL
            .iter()
            .filter(|tool| root.has(**tool))
            .map(|tool| tool.name().to_owned())
            .collect()
    }
}
