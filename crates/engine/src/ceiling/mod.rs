//! The ceiling that the user set for a model: it can narrow what is in it, never widen it.
//!
//! A server makes the fence once, from its flags; every operation that reads or writes the host,
//! or chooses what a workspace is, asks it here. The command line and the SDK have none.

mod flags;
mod network;
mod paths;
mod project;

use std::path::PathBuf;

use pyro_model::MachineChoice;
use pyro_operations::{Code, Failure, Reach, list};
use pyro_store::Record;

pub use self::{
    network::NetworkCeiling,
    paths::{Asker, Question},
    project::ProjectSource,
};
pub(crate) use self::{
    paths::{Ground, globs, readable, repository, tellable},
    project::NO_SOURCE,
};
use crate::environment::HOST;

/// What the user allows a model.
#[derive(Debug, Clone, Default)]
pub struct Fence {
    /// The project that a create without a source takes.
    pub project: ProjectSource,
    /// No flag names a source: where `project` is none, a client's root may become it.
    pub takes_roots: bool,
    /// More host directories that may be read as a seed.
    pub allow_paths: Vec<PathBuf>,
    /// Where exports land; `.pyro/exports` in the project when absent.
    pub export_dir: Option<PathBuf>,
    /// The environment that is used, and the only one allowed.
    pub environment: Option<String>,
    /// The environment of a create where neither the user nor the model names one.
    pub recommended_environment: Option<&'static str>,
    /// Never the host's own toolchains.
    pub without_host: bool,
    /// The machine that is used, and the only one allowed.
    pub machine: Option<MachineChoice>,
    /// The widest network policy.
    pub network: NetworkCeiling,
    /// Workspaces of this home that may exist at once, whoever made them.
    pub max_workspaces: Option<u64>,
    /// Cores that a workspace may have.
    pub max_cpus: Option<u32>,
    /// Memory that a workspace may have.
    pub max_memory_mib: Option<u64>,
}

impl Fence {
    /// Whether a model may run something in a workspace that is there already, whoever made it:
    /// not where the machine or the environment is not the one that the user pinned.
    pub(crate) fn admits(&self, record: &Record) -> Result<(), Failure> {
        let refuse = |what: String| {
            Err(Failure::new(Code::NotPermitted, format!("workspace {}: {what}", record.id))
                .hint("workspace_create makes one that this server allows"))
        };
        if let Some(pinned) = self.machine
            && pinned != MachineChoice::Auto
            && pinned.as_str() != record.machine.as_str()
        {
            return refuse(format!(
                "it runs in a {}, and this server allows `{pinned}` only",
                record.machine
            ));
        }
        if self.environment.as_ref().is_some_and(|pinned| *pinned != record.environment)
            || (self.without_host && record.environment == HOST)
        {
            return refuse(format!(
                "its environment is `{}`, which this server does not allow",
                record.environment
            ));
        }
        Ok(())
    }

    /// Whether a model may name this environment.
    pub(crate) fn allows_environment(&self, name: &str) -> bool {
        self.environment.as_deref().is_none_or(|pinned| pinned == name)
            && !(self.without_host && name == HOST)
    }
}

/// A size that was asked for, or the default, within what the user allows: a wider request is
/// refused, a wider default is cut.
pub(crate) fn size(
    what: &str,
    asked: Option<u64>,
    default: u64,
    most: Option<u64>,
) -> Result<u64, Failure> {
    let most = most.unwrap_or(u64::MAX);
    match asked {
        Some(asked) if asked > most => Err(Failure::new(
            Code::NotPermitted,
            format!("{what}: {asked} asked for, this server allows {most}"),
        )
        .hint(format!("leave {what} out, or give at most {most}"))),
        asked => Ok(asked.unwrap_or_else(|| default.min(most))),
    }
}

/// Operations for the person are closed to a model, whatever its door shows.
pub(crate) fn of_a_model(name: &str) -> Result<(), Failure> {
    match list::find(name).map(|operation| operation.reach) {
        Some(Reach::Everywhere) => Ok(()),
        _ => Err(Failure::new(
            Code::NotPermitted,
            format!("{name}: it is for the person, on the command line"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_size_is_refused_and_a_wider_default_is_cut() {
        assert_eq!(size("cpus", Some(2), 8, Some(4)), Ok(2));
        assert_eq!(size("cpus", None, 8, Some(4)), Ok(4));
        assert_eq!(size("cpus", None, 8, None), Ok(8));
        let refused = size("cpus", Some(5), 8, Some(4)).unwrap_err();
        assert_eq!(refused.code, Code::NotPermitted);
        assert!(refused.hint.contains("at most 4"), "{}", refused.hint);
    }

    #[test]
    fn what_is_for_the_person_is_closed_to_a_model() {
        for operation in pyro_operations::OPERATIONS {
            let open = of_a_model(operation.name).is_ok();
            assert_eq!(open, operation.reach == Reach::Everywhere, "{}", operation.name);
        }
        assert!(of_a_model("no_such").is_err());
    }
}
