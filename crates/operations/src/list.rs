//! The table of contents of the product: every operation, once.
//!
//! `for_each_operation!` hands the rows to whatever macro is named; the engine's dispatch and the
//! SDK's methods are made that way. `OPERATIONS` is the same table as data, for doors and tests.

use crate::{
    request::{Effect, Mode, Operation, Profile, Reach, Request},
    schema,
};

/// Calls a macro with every row: `method: Request`.
#[macro_export]
macro_rules! for_each_operation {
    ($callback:ident) => {
        $callback! {
            vm_run: $crate::exec::VmRun,
            workspace_create: $crate::workspace::WorkspaceCreate,
            workspace_list: $crate::workspace::WorkspaceList,
            workspace_status: $crate::workspace::WorkspaceStatus,
            workspace_update: $crate::workspace::WorkspaceUpdate,
            workspace_logs: $crate::exec::WorkspaceLogs,
            workspace_exec: $crate::exec::WorkspaceExec,
            workspace_exec_wait: $crate::exec::WorkspaceExecWait,
            workspace_exec_stop: $crate::exec::WorkspaceExecStop,
            workspace_file_list: $crate::file::WorkspaceFileList,
            workspace_file_read: $crate::file::WorkspaceFileRead,
            workspace_file_write: $crate::file::WorkspaceFileWrite,
            workspace_file_edit: $crate::file::WorkspaceFileEdit,
            workspace_patch_apply: $crate::file::WorkspacePatchApply,
            workspace_diff: $crate::workspace::WorkspaceDiff,
            workspace_export: $crate::workspace::WorkspaceExport,
            workspace_reset: $crate::workspace::WorkspaceReset,
            workspace_delete: $crate::workspace::WorkspaceDelete,
            workspace_prune: $crate::workspace::WorkspacePrune,
            environment_list: $crate::environment::EnvironmentList,
            environment_pull: $crate::environment::EnvironmentPull,
            environment_inspect: $crate::environment::EnvironmentInspect,
            environment_prune: $crate::environment::EnvironmentPrune,
            environment_import: $crate::environment::EnvironmentImport,
            host_connect: $crate::chat_host::HostConnect,
            host_disconnect: $crate::chat_host::HostDisconnect,
            host_print_config: $crate::chat_host::HostPrintConfig,
            host_doctor: $crate::chat_host::HostDoctor,
            host_repair: $crate::chat_host::HostRepair,
            prepare: $crate::host::Prepare,
            doctor: $crate::host::Doctor,
        }
    };
}

const fn row<R: Request>(
    command: &'static [&'static str],
    title: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        name: R::NAME,
        command,
        title,
        summary,
        effect: Effect::Reads,
        idempotent: true,
        open_world: false,
        reach: Reach::Everywhere,
        profiles: &[],
        modes: &[],
        request_schema: schema::of::<R>,
        reply_schema: schema::of::<R::Reply>,
    }
}

const CORE: &[Profile] = &[Profile::WorkspaceCore];
/// The person's alone.
const CHAT_HOSTS: Reach = Reach::Person("is about chat hosts, which the person sets up");
/// Of every story.
const STORIES: &[Mode] = Mode::ALL;
/// Of the stories that change files.
const FIX: &[Mode] = &[Mode::ReproFix];
/// Of the stories whose changes a person reads.
const DIFF: &[Mode] = &[Mode::ReproFix, Mode::ReviewEval];

/// Every operation, in the order of the docs.
pub static OPERATIONS: &[Operation] = &[
    Operation {
        effect: Effect::Writes,
        idempotent: false,
        open_world: true,
        profiles: &[Profile::VmRun, Profile::WorkspaceCore],
        ..row::<crate::exec::VmRun>(
            &["run"],
            "Run one command in a throw-away workspace",
            "Runs one command in a fresh, isolated, empty workspace that is gone afterwards. For work on the project use workspace_create and workspace_exec.",
        )
    },
    Operation {
        effect: Effect::Writes,
        idempotent: false,
        open_world: true,
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::workspace::WorkspaceCreate>(
            &["workspace", "create"],
            "Create a workspace",
            "Makes a fresh, isolated copy of the project to work in; the host's files stay as they are. Begin with it, then run commands and edit files in the workspace only through these tools.",
        )
    },
    Operation {
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::workspace::WorkspaceList>(
            &["workspace", "list"],
            "List workspaces",
            "Lists the workspaces, newest activity first.",
        )
    },
    Operation {
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::workspace::WorkspaceStatus>(
            &["workspace", "status"],
            "Show a workspace",
            "Shows one workspace: its state, seed, sizes, isolation and running commands.",
        )
    },
    Operation {
        effect: Effect::Writes,
        profiles: CORE,
        modes: FIX,
        ..row::<crate::workspace::WorkspaceUpdate>(
            &["workspace", "update"],
            "Rename or label a workspace",
            "Changes a workspace's name and labels.",
        )
    },
    Operation {
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::exec::WorkspaceLogs>(
            &["workspace", "logs"],
            "Show commands and their output",
            "Lists the commands that ran in a workspace, newest first, or reads the kept output of one of them from a byte offset.",
        )
    },
    Operation {
        effect: Effect::Writes,
        idempotent: false,
        open_world: true,
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::exec::WorkspaceExec>(
            &["workspace", "exec"],
            "Run a command in a workspace",
            "Runs one shell line in a workspace, starting in /workspace (or cwd); cd and exported variables do not carry over. A command that takes longer than wait_s goes on and is waited for with workspace_exec_wait.",
        )
    },
    Operation {
        open_world: true,
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::exec::WorkspaceExecWait>(
            &["workspace", "exec-wait"],
            "Wait for a running command",
            "Waits for a command again by its exec_id and returns its result, or `running` once more.",
        )
    },
    Operation {
        effect: Effect::Writes,
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::exec::WorkspaceExecStop>(
            &["workspace", "exec-stop"],
            "Stop a running command",
            "Ends a command and every process it started: the signal first, then SIGKILL for what is left.",
        )
    },
    Operation {
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::file::WorkspaceFileList>(
            &["workspace", "file", "list"],
            "List files",
            "Lists files below a directory of the workspace.",
        )
    },
    Operation {
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::file::WorkspaceFileRead>(
            &["workspace", "file", "read"],
            "Read a file",
            "Reads a file of the workspace, or a part of it: 2,000 lines or 30,000 characters at a time.",
        )
    },
    Operation {
        effect: Effect::Writes,
        profiles: CORE,
        modes: FIX,
        ..row::<crate::file::WorkspaceFileWrite>(
            &["workspace", "file", "write"],
            "Write a file",
            "Writes a whole file of the workspace atomically; directories are made. Needs no shell quoting.",
        )
    },
    Operation {
        effect: Effect::Writes,
        idempotent: false,
        profiles: CORE,
        modes: FIX,
        ..row::<crate::file::WorkspaceFileEdit>(
            &["workspace", "file", "edit"],
            "Edit a file",
            "Replaces exact text in a file of the workspace: once, or everywhere with replace_all.",
        )
    },
    Operation {
        effect: Effect::Writes,
        idempotent: false,
        profiles: CORE,
        modes: FIX,
        ..row::<crate::file::WorkspacePatchApply>(
            &["workspace", "patch", "apply"],
            "Apply a patch",
            "Changes several files at once with a unified or git diff, or the `*** Begin Patch` form: all of it, or nothing with the hunk that does not fit and the lines that are there.",
        )
    },
    Operation {
        profiles: CORE,
        modes: DIFF,
        ..row::<crate::workspace::WorkspaceDiff>(
            &["workspace", "diff"],
            "Show what changed",
            "Shows what changed in the workspace since it was made, as a patch that git apply takes, with counts.",
        )
    },
    Operation {
        effect: Effect::Writes,
        idempotent: false,
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::workspace::WorkspaceExport>(
            &["workspace", "export"],
            "Take a result out",
            "Copies a file, a directory or the whole patch from the workspace to the host; never overwrites.",
        )
    },
    Operation {
        effect: Effect::Destroys,
        idempotent: false,
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::workspace::WorkspaceReset>(
            &["workspace", "reset"],
            "Reset a workspace",
            "Takes the workspace back to what was seeded: a fresh machine, all changes and processes gone, same id and name. The normal way to retry.",
        )
    },
    Operation {
        effect: Effect::Destroys,
        profiles: CORE,
        modes: STORIES,
        ..row::<crate::workspace::WorkspaceDelete>(
            &["workspace", "delete"],
            "Delete a workspace",
            "Ends the workspace and removes its files; the last patch is kept for 7 days.",
        )
    },
    Operation {
        effect: Effect::Destroys,
        reach: Reach::Person("deletes several workspaces at once, also other chats'"),
        ..row::<crate::workspace::WorkspacePrune>(
            &["workspace", "prune"],
            "Delete old workspaces",
            "Deletes workspaces that have been stopped for long, and says what unexported changes they held.",
        )
    },
    row::<crate::environment::EnvironmentList>(
        &["env", "list"],
        "List environments",
        "Lists the root file systems that workspaces can start from, and which of them are installed.",
    ),
    Operation {
        effect: Effect::Writes,
        open_world: true,
        reach: Reach::Person("downloads to the host"),
        ..row::<crate::environment::EnvironmentPull>(
            &["env", "pull"],
            "Get an environment",
            "Installs an environment, or repairs a damaged one.",
        )
    },
    Operation {
        reach: Reach::Person("of use only beside pull and import"),
        ..row::<crate::environment::EnvironmentInspect>(
            &["env", "inspect"],
            "Show an environment",
            "Shows what is in an environment and whether it is whole.",
        )
    },
    Operation {
        effect: Effect::Destroys,
        reach: Reach::Person("removes what other chats may want next"),
        ..row::<crate::environment::EnvironmentPrune>(
            &["env", "prune"],
            "Remove unused environments",
            "Removes environments that no workspace uses.",
        )
    },
    Operation {
        effect: Effect::Writes,
        reach: Reach::Person("reads any path of the host"),
        ..row::<crate::environment::EnvironmentImport>(
            &["env", "import"],
            "Import an environment",
            "Makes an environment of a root file system tarball or an OCI image layout on this host.",
        )
    },
    Operation {
        effect: Effect::Writes,
        reach: CHAT_HOSTS,
        ..row::<crate::chat_host::HostConnect>(
            &["host", "connect"],
            "Set pyro up in a chat host",
            "Sets pyro's server up in a chat host with these flags, and prints everything that it changes; comments and order in the files stay. host_disconnect undoes it.",
        )
    },
    Operation {
        effect: Effect::Destroys,
        reach: CHAT_HOSTS,
        ..row::<crate::chat_host::HostDisconnect>(
            &["host", "disconnect"],
            "Take pyro out of a chat host",
            "Takes pyro's server out of a chat host, with everything that host_connect changed and nothing else.",
        )
    },
    Operation {
        reach: CHAT_HOSTS,
        ..row::<crate::chat_host::HostPrintConfig>(
            &["host", "print-config"],
            "Print what a chat host needs",
            "Prints the configuration that a chat host needs, to be put there by hand; writes nothing.",
        )
    },
    Operation {
        reach: CHAT_HOSTS,
        ..row::<crate::chat_host::HostDoctor>(
            &["host", "doctor"],
            "Check the chat hosts",
            "Says how pyro stands in each chat host, what differs from what should be, and the command that mends it. Starts each server once to hear it answer.",
        )
    },
    Operation {
        effect: Effect::Writes,
        reach: CHAT_HOSTS,
        ..row::<crate::chat_host::HostRepair>(
            &["host", "repair"],
            "Repair pyro's set-up in the chat hosts",
            "Makes what host_doctor finds drifted as it should be: a moved pyro, an edited entry, permissions that are gone. Flags that the server was given stay; what cannot be read is copied first.",
        )
    },
    Operation {
        effect: Effect::Writes,
        open_world: true,
        reach: Reach::Person("is about the host, not about a workspace"),
        ..row::<crate::host::Prepare>(
            &["prepare"],
            "Make everything ready",
            "Makes all that the first workspace would wait for: the environment, its image, the machine's template; and proves it with one create, exec, reset and delete.",
        )
    },
    Operation {
        reach: Reach::Person("is about the host, not about a workspace"),
        ..row::<crate::host::Doctor>(
            &["doctor"],
            "Check this host",
            "Says what works here, what does not, and the command that mends it.",
        )
    },
];

/// The row of an operation.
#[must_use]
pub fn find(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! names {
        ($($method:ident: $request:ty,)+) => {
            &[$((stringify!($method), <$request as Request>::NAME)),+]
        };
    }

    #[test]
    fn rows_methods_and_names_are_the_same_list() {
        let methods: &[(&str, &str)] = for_each_operation!(names);
        let rows: Vec<_> = OPERATIONS.iter().map(|o| (o.name, o.name)).collect();
        assert_eq!(methods, rows);
    }

    #[test]
    fn request_schemas_are_portable() {
        for operation in OPERATIONS {
            let schema = (operation.request_schema)();
            let text = schema.to_string();
            assert_eq!(schema["type"], "object", "{}", operation.name);
            assert_eq!(schema["additionalProperties"], false, "{}", operation.name);
            for bad in ["\"$ref\"", "\"anyOf\"", "\"oneOf\"", "\"null\"", "\"default\":"] {
                assert!(!text.contains(bad), "{}: {bad} in {text}", operation.name);
            }
            for (field, property) in schema["properties"].as_object().unwrap() {
                assert!(property["description"].is_string(), "{}.{field}", operation.name);
                assert!(property["type"].is_string(), "{}.{field}", operation.name);
            }
        }
    }

    #[test]
    fn replies_begin_with_the_verdict() {
        for operation in OPERATIONS {
            let schema = (operation.reply_schema)();
            let first = schema["properties"].as_object().unwrap().keys().next().unwrap();
            assert_eq!(first, "verdict", "{}", operation.name);
        }
    }
}
