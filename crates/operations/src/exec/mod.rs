//! Operations on commands.

pub mod logs;
pub mod run;
pub mod start;
pub mod stop;
pub mod vm_run;
pub mod wait;

pub use logs::{LoggedExec, WorkspaceLogged, WorkspaceLogs};
pub use run::{ExecNetwork, ExecReply, Omitted};
pub use start::WorkspaceExec;
pub use stop::WorkspaceExecStop;
pub use vm_run::VmRun;
pub use wait::WorkspaceExecWait;
