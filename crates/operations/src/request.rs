//! What an operation is: its row in the list, and the trait that ties a request to its reply.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Failure;

/// What an operation does to what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Changes nothing.
    Reads,
    /// Changes the workspace, or adds to the host without replacing anything.
    Writes,
    /// Takes something away that a person may miss.
    Destroys,
}

/// Which doors an operation is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Command line, SDK and MCP.
    Everywhere,
    /// Command line and SDK: for the person, not for the model. The row says why.
    Person(&'static str),
}

/// A set of tools that an MCP server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Only `vm_run`.
    VmRun,
    /// The default.
    WorkspaceCore,
    /// Everything.
    WorkspaceFull,
}

impl Profile {
    /// Every profile, smallest first.
    pub const ALL: &'static [Profile] =
        &[Profile::VmRun, Profile::WorkspaceCore, Profile::WorkspaceFull];

    /// As it is spelled on every door.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Profile::VmRun => "vm-run",
            Profile::WorkspaceCore => "workspace-core",
            Profile::WorkspaceFull => "workspace-full",
        }
    }
}

/// A story that an MCP server is for: its own tools, narrower than a profile's, and a prompt that
/// begins it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Reproduce a failure, mend it, show the change.
    ReproFix,
    /// Look at a tree that is not trusted; no network, no edits.
    Inspect,
    /// Does a fresh checkout build, test and run?
    ColdStart,
    /// Go through a checklist, from a snapshot and back to it.
    ReviewEval,
}

impl Mode {
    /// Every mode.
    pub const ALL: &'static [Mode] =
        &[Mode::ReproFix, Mode::Inspect, Mode::ColdStart, Mode::ReviewEval];

    /// As it is spelled on every door.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::ReproFix => "repro-fix",
            Mode::Inspect => "inspect",
            Mode::ColdStart => "cold-start",
            Mode::ReviewEval => "review-eval",
        }
    }

    /// The environment of a create where neither the user nor the model names one.
    #[must_use]
    pub fn environment(self) -> Option<&'static str> {
        match self {
            Mode::Inspect => Some("debian:12"),
            Mode::ColdStart => Some("debian:12-build"),
            Mode::ReproFix | Mode::ReviewEval => None,
        }
    }

    /// Whether the host's own toolchains are never an environment of it.
    #[must_use]
    pub fn without_host(self) -> bool {
        self == Mode::Inspect
    }
}

/// What a server shows: a profile or a mode, never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Toolset {
    /// As wide as the profile.
    Profile(Profile),
    /// As narrow as the story.
    Mode(Mode),
}

impl Toolset {
    /// Every profile and every mode.
    pub fn all() -> impl Iterator<Item = Toolset> {
        let profiles = Profile::ALL.iter().map(|profile| Toolset::Profile(*profile));
        profiles.chain(Mode::ALL.iter().map(|mode| Toolset::Mode(*mode)))
    }

    /// As it is spelled on every door.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Toolset::Profile(profile) => profile.as_str(),
            Toolset::Mode(mode) => mode.as_str(),
        }
    }
}

/// One row of the list.
#[derive(Debug)]
pub struct Operation {
    /// MCP tool, SDK method: `workspace_create`.
    pub name: &'static str,
    /// The words of the subcommand: `["workspace", "create"]`.
    pub command: &'static [&'static str],
    /// A title for people.
    pub title: &'static str,
    /// One or two sentences: what it does, for a model and a person.
    pub summary: &'static str,
    /// What it does to what is there.
    pub effect: Effect,
    /// Doing it twice is doing it once.
    pub idempotent: bool,
    /// It may reach the network, where the server's ceiling lets it.
    pub open_world: bool,
    /// Which doors it is on.
    pub reach: Reach,
    /// Profiles that show it, beside `workspace-full`, which shows every tool.
    pub profiles: &'static [Profile],
    /// Modes that show it.
    pub modes: &'static [Mode],
    /// The schema of its request, as the contract says it: see `schema`.
    pub request_schema: fn() -> serde_json::Value,
    /// The schema of its reply.
    pub reply_schema: fn() -> serde_json::Value,
}

impl Operation {
    /// Whether a server with these tools shows it.
    #[must_use]
    pub fn is_in(&self, set: Toolset) -> bool {
        let shown = match set {
            Toolset::Profile(Profile::WorkspaceFull) => true,
            Toolset::Profile(profile) => self.profiles.contains(&profile),
            Toolset::Mode(mode) => self.modes.contains(&mode),
        };
        shown && self.reach == Reach::Everywhere
    }
}

/// A request, which knows its reply.
pub trait Request: Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// What a call answers.
    type Reply: Serialize + DeserializeOwned + JsonSchema + Send + 'static;

    /// The operation's name.
    const NAME: &'static str;

    /// Rules across fields that a schema cannot say. Every door runs it, through the engine.
    ///
    /// # Errors
    /// `invalid_argument`, naming the fields.
    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }
}
