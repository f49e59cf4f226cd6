//! Operations on a workspace as a whole.

pub mod create;
pub mod delete;
pub mod diff;
pub mod export;
pub mod list;
pub mod prune;
pub mod reset;
pub mod status;
pub mod update;

pub use create::WorkspaceCreate;
pub use delete::{WorkspaceDelete, WorkspaceDeleted};
pub use diff::{DiffFile, DiffFrom, WorkspaceDiff, WorkspaceDiffed};
pub use export::{ExportKind, WorkspaceExport, WorkspaceExported};
pub use list::{WorkspaceList, WorkspaceListed, WorkspaceRow};
pub use prune::{PrunedWorkspace, WorkspacePrune, WorkspacePruned};
pub use reset::WorkspaceReset;
pub use status::WorkspaceStatus;
pub use update::WorkspaceUpdate;
