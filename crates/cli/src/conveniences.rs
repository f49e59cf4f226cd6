//! What the command line adds to an operation's own fields. None of it adds meaning: each fills a
//! field, repeats a call, or shortens what is shown.

use clap::{Arg, ArgAction};
use pyro_operations::{
    Request,
    environment::EnvironmentPrune,
    exec::{VmRun, WorkspaceExec},
    file::WorkspaceFileRead,
    workspace::{WorkspaceCreate, WorkspaceDelete, WorkspaceList, WorkspacePrune},
};

/// A flag that is no field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    /// `wait_s: 0`, and only the id is printed.
    Detach,
    /// `seed_path: "."`.
    Here,
    /// Only the id is printed.
    IdOnly,
    /// `state: "running"`.
    Running,
    /// Only the file's bytes are printed, all of them.
    ContentOnly,
    /// No question.
    Yes,
    /// The position may be given several times: one call each.
    Several,
}

/// What an operation has beside its fields.
pub(crate) fn of(operation: &str) -> &'static [Extra] {
    match operation {
        VmRun::NAME => &[Extra::Detach, Extra::Here],
        WorkspaceExec::NAME => &[Extra::Detach],
        WorkspaceCreate::NAME => &[Extra::IdOnly],
        WorkspaceList::NAME => &[Extra::Running],
        WorkspaceFileRead::NAME => &[Extra::ContentOnly],
        WorkspacePrune::NAME | EnvironmentPrune::NAME => &[Extra::Yes],
        WorkspaceDelete::NAME => &[Extra::Several],
        _ => &[],
    }
}

impl Extra {
    /// Its long flag, if it has one.
    pub(crate) fn flag(self) -> Option<&'static str> {
        match self {
            Extra::Detach => Some("detach"),
            Extra::Here => Some("here"),
            Extra::IdOnly => Some("id-only"),
            Extra::Running => Some("running"),
            Extra::ContentOnly => Some("content-only"),
            Extra::Yes => Some("yes"),
            Extra::Several => None,
        }
    }

    /// Its argument, if it has one.
    pub(crate) fn argument(self) -> Option<Arg> {
        let flag = self.flag()?;
        let (about, excludes): (&str, &[&str]) = match self {
            Extra::Detach => {
                ("Do not wait: print the command's id and leave it running", &["wait_s"])
            }
            Extra::Here => {
                ("Copy the project around the current directory", &["seed_path", "repo_url"])
            }
            Extra::IdOnly => ("Print only the id", &["json"]),
            Extra::Running => ("Only those that run", &["state"]),
            Extra::ContentOnly => (
                "Print the file's bytes and nothing else: the whole file, exactly",
                &["json", "offset", "limit", "encoding"],
            ),
            Extra::Yes => ("Do it without asking", &[]),
            Extra::Several => return None,
        };
        let argument = Arg::new(flag).long(flag).action(ArgAction::SetTrue).help(about);
        Some(argument.conflicts_with_all(excludes))
    }
}
