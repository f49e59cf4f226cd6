//! Operations on files below `/workspace`.

pub mod edit;
pub mod list;
pub mod patch_apply;
pub mod read;
pub mod write;

pub use edit::WorkspaceFileEdit;
pub use list::{FileEntry, FileKind, WorkspaceFileList, WorkspaceFileListed};
pub use patch_apply::WorkspacePatchApply;
pub use read::{Encoding, WorkspaceFileContent, WorkspaceFileRead};
pub use write::{WorkspaceFileChanged, WorkspaceFileWrite};
