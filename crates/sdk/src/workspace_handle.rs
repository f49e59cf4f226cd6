//! A handle on one workspace, for what is done most. Everything else is a method of `Client`.

use std::collections::BTreeMap;

use pyro_operations::{
    Code, Failure,
    exec::{ExecReply, WorkspaceExec, WorkspaceExecStop, WorkspaceExecWait},
    file::{WorkspaceFileChanged, WorkspaceFileEdit, WorkspaceFileWrite},
    reply::WorkspaceReply,
    workspace::{
        ExportKind, WorkspaceDelete, WorkspaceDeleted, WorkspaceDiff, WorkspaceDiffed,
        WorkspaceExport, WorkspaceExported, WorkspaceReset, WorkspaceStatus,
    },
};

use crate::{Client, pages};

/// One workspace. Dropping the handle leaves the workspace as it is.
#[derive(Debug, Clone)]
pub struct Workspace {
    client: Client,
    name: String,
}

impl Workspace {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// The id, name or prefix that this handle was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs one shell line and waits until it ends. That it failed is in the reply.
    ///
    /// # Errors
    /// As `workspace_exec`.
    pub fn exec(&self, command: impl Into<String>) -> Result<ExecReply, Failure> {
        self.client.workspace_exec(self.exec_request(command))
    }

    /// The request that `exec` makes, to change before giving it to `Client::workspace_exec`.
    #[must_use]
    pub fn exec_request(&self, command: impl Into<String>) -> WorkspaceExec {
        WorkspaceExec {
            workspace: self.name.clone(),
            command: command.into(),
            cwd: None,
            env: BTreeMap::new(),
            stdin: None,
            timeout_s: None,
            wait_s: None,
            max_output_chars: None,
        }
    }

    /// Waits for a command that still runs.
    ///
    /// # Errors
    /// As `workspace_exec_wait`.
    pub fn wait(&self, exec_id: impl Into<String>) -> Result<ExecReply, Failure> {
        self.client.workspace_exec_wait(WorkspaceExecWait {
            workspace: self.name.clone(),
            exec_id: exec_id.into(),
            wait_s: None,
            max_output_chars: None,
        })
    }

    /// Ends a command and everything it started.
    ///
    /// # Errors
    /// As `workspace_exec_stop`.
    pub fn stop_exec(&self, exec_id: impl Into<String>) -> Result<ExecReply, Failure> {
        self.client.workspace_exec_stop(WorkspaceExecStop {
            workspace: self.name.clone(),
            exec_id: exec_id.into(),
            signal: None,
        })
    }

    /// The whole file, which must be UTF-8.
    ///
    /// # Errors
    /// As `workspace_file_read`; `not_text` for other bytes.
    pub fn read(&self, path: &str) -> Result<String, Failure> {
        String::from_utf8(self.read_bytes(path)?).map_err(|_| {
            Failure::new(Code::NotText, format!("{path} is not UTF-8")).hint("use read_bytes")
        })
    }

    /// The bytes of the whole file.
    ///
    /// # Errors
    /// As `workspace_file_read`.
    pub fn read_bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        pages::file(&self.client, &self.name, path, &self.client.context()?)
    }

    /// Writes a whole file; its directories are made.
    ///
    /// # Errors
    /// As `workspace_file_write`.
    pub fn write(
        &self,
        path: impl Into<String>,
        content: impl Into<String>,
    ) -> Result<WorkspaceFileChanged, Failure> {
        self.client.workspace_file_write(WorkspaceFileWrite {
            workspace: self.name.clone(),
            path: path.into(),
            content: content.into(),
            encoding: None,
            executable: None,
        })
    }

    /// Replaces the one place where `old` is in a file.
    ///
    /// # Errors
    /// As `workspace_file_edit`.
    pub fn edit(
        &self,
        path: impl Into<String>,
        old: impl Into<String>,
        new: impl Into<String>,
    ) -> Result<WorkspaceFileChanged, Failure> {
        self.client.workspace_file_edit(WorkspaceFileEdit {
            workspace: self.name.clone(),
            path: path.into(),
            old_string: old.into(),
            new_string: new.into(),
            replace_all: false,
        })
    }

    /// What changed since the seed, with the whole patch.
    ///
    /// # Errors
    /// As `workspace_diff`.
    pub fn diff(&self) -> Result<WorkspaceDiffed, Failure> {
        let request = WorkspaceDiff {
            workspace: self.name.clone(),
            paths: Vec::new(),
            stat: false,
            from: None,
            offset: None,
            max_output_chars: None,
        };
        pages::diff(&self.client, &request, &self.client.context()?)
    }

    /// Copies a file or directory to a host path that does not exist yet.
    ///
    /// # Errors
    /// As `workspace_export`.
    pub fn export(
        &self,
        path: impl Into<String>,
        output: impl Into<String>,
    ) -> Result<WorkspaceExported, Failure> {
        self.export_as(ExportKind::Path, Some(path.into()), output.into())
    }

    /// Writes the whole patch to a host path that does not exist yet.
    ///
    /// # Errors
    /// As `workspace_export`.
    pub fn export_patch(&self, output: impl Into<String>) -> Result<WorkspaceExported, Failure> {
        self.export_as(ExportKind::Patch, None, output.into())
    }

    fn export_as(
        &self,
        kind: ExportKind,
        path: Option<String>,
        output: String,
    ) -> Result<WorkspaceExported, Failure> {
        self.client.workspace_export(WorkspaceExport {
            workspace: self.name.clone(),
            path,
            kind: Some(kind),
            output: Some(output),
        })
    }

    /// How it stands.
    ///
    /// # Errors
    /// As `workspace_status`.
    pub fn status(&self) -> Result<WorkspaceReply, Failure> {
        self.client.workspace_status(WorkspaceStatus { workspace: self.name.clone() })
    }

    /// Takes it back to what was seeded.
    ///
    /// # Errors
    /// As `workspace_reset`.
    pub fn reset(&self) -> Result<WorkspaceReply, Failure> {
        self.client.workspace_reset(WorkspaceReset {
            workspace: self.name.clone(),
            snapshot: None,
            dry_run: false,
        })
    }

    /// Ends it and removes its files.
    ///
    /// # Errors
    /// As `workspace_delete`.
    pub fn delete(self) -> Result<WorkspaceDeleted, Failure> {
        self.client.workspace_delete(WorkspaceDelete { workspace: self.name })
    }
}
