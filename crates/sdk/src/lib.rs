//! pyro for programs: disposable, isolated, reviewable workspaces, without a daemon.
//!
//! [`Client`] has one method for each operation, with the requests and replies of the command line
//! and the MCP server; [`Workspace`] is a handle on one workspace for what is done most. The
//! engine runs in this process. There is no fence here: a program has its user's rights.
//!
//! ```no_run
//! use pyro::{Client, workspace::WorkspaceCreate};
//!
//! # fn main() -> Result<(), pyro::Failure> {
//! let client = Client::open_default()?;
//! let made = client.workspace_create(WorkspaceCreate {
//!     seed_path: Some("/home/me/project".to_owned()),
//!     ..WorkspaceCreate::default()
//! })?;
//! let workspace = client.workspace(&made.workspace);
//! let tests = workspace.exec("cargo test")?;
//! if tests.exit_code != Some(0) {
//!     workspace.edit("src/lib.rs", "a - b", "a + b")?;
//!     workspace.exec("cargo test")?;
//! }
//! println!("{}", workspace.diff()?.patch.unwrap_or_default());
//! workspace.export_patch("fix.patch")?;
//! workspace.delete()?;
//! # Ok(())
//! # }
//! ```

mod client;
pub mod pages;
mod workspace_handle;

pub use client::Client;
pub use pyro_engine::{
    Cancel, Config, Context, Door, Live, LiveSink, Progress, ProgressSink, Settings,
};
pub use pyro_model::{
    Change, ChangeKind, ExecState, Isolation, LabelKey, LabelValue, MachineChoice, MachineKind,
    OriginKind, OutputStream, Timestamp, WorkspaceName, WorkspaceState,
};
pub use pyro_operations::{
    Code, Failure, Request, environment, exec, file, host, list, reply, workspace,
};
pub use workspace_handle::Workspace;
