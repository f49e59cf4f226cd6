//! The moves of a story, in order: which tools to call, and what for. Instructions and prompts are
//! made from them, with the tools that a server shows; a move whose tools are not there is left
//! out, so tools that are still to come are named here already.

use std::fmt::Write;

use pyro_operations::{Mode, Toolset};

use crate::Surface;

/// A move: the tools that it may take, and what to do with them.
#[derive(Debug, Clone, Copy)]
struct Move {
    tools: &'static [&'static str],
    about: &'static str,
}

const fn to(tools: &'static [&'static str], about: &'static str) -> Move {
    Move { tools, about }
}

const CREATE: &[&str] = &["workspace_create"];
const RUN: &[&str] = &["workspace_exec"];
const LOOK: &[&str] = &["workspace_file_list", "workspace_file_read"];
const CHANGE: &[&str] = &["workspace_file_edit", "workspace_file_write", "workspace_patch_apply"];

const LOOK_AROUND: Move = to(LOOK, "look around; paths are relative to /workspace.");
const WAIT: Move = to(
    &["workspace_exec_wait", "workspace_exec_stop"],
    "where a reply says `state: running` the command goes on: take it up again by its exec_id.",
);
const EDIT: Move = to(CHANGE, "change files, never through shell quoting.");
const DIFF: Move = to(&["workspace_diff"], "show what changed.");
const SUMMARY: Move = to(&["workspace_summary"], "tell in short what was done.");
const RETRY: Move = to(
    &["workspace_reset"],
    "start over from what was seeded, in the same workspace: the normal way to retry.",
);
const DELETE: Move = to(&["workspace_delete"], "when the user has the result.");
const REPORT: Move = to(
    &["workspace_export"],
    "hand the report to the user, a file of the workspace that a command wrote, and tell where it lies on the host.",
);

/// The moves where nothing narrows the story.
const ANY: &[Move] = &[
    to(
        CREATE,
        "once, first: an isolated copy of the project; give it a name and use that name as `workspace` from then on.",
    ),
    LOOK_AROUND,
    to(
        RUN,
        "build, test, search: one shell line per call, starting in /workspace; cd and exported variables do not carry over.",
    ),
    WAIT,
    EDIT,
    to(
        &["service_start", "service_logs"],
        "what has to run beside the commands, with a readiness probe.",
    ),
    to(&["shell_open", "shell_write", "shell_read"], "programs that want a terminal."),
    to(&["snapshot_create"], "before something risky; workspace_reset comes back to it."),
    RETRY,
    DIFF,
    SUMMARY,
    to(
        &["workspace_export"],
        "hand the result to the user as a patch or a file, and tell where it lies.",
    ),
    DELETE,
    to(&["vm_run"], "one command that needs no project, in a workspace that is gone afterwards."),
];

const REPRO_FIX: &[Move] = &[
    to(
        CREATE,
        "once per issue: an isolated copy of the project, named after the issue; use that name as `workspace` from then on.",
    ),
    to(RUN, "the failing command, before anything is changed: see it fail for yourself."),
    LOOK_AROUND,
    to(CHANGE, "mend the cause with the smallest change, never through shell quoting."),
    to(RUN, "the same command until it passes, then the tests around it."),
    WAIT,
    DIFF,
    SUMMARY,
    to(&["workspace_export"], "hand the patch to the user, and tell where it lies on the host."),
    RETRY,
    DELETE,
];

const INSPECT: &[Move] = &[
    to(
        CREATE,
        "once, first: an isolated copy of the tree, without network; give it a name and use that name as `workspace`.",
    ),
    to(LOOK, "read before anything runs; paths are relative to /workspace."),
    to(RUN, "the smallest command that makes the report; write the report to a file of its own."),
    WAIT,
    SUMMARY,
    REPORT,
    to(&["workspace_reset"], "where a command changed what is looked at."),
    DELETE,
];

const COLD_START: &[Move] = &[
    to(
        CREATE,
        "once, first: the checkout as somebody has it who just cloned it; give it a name and use that name as `workspace`.",
    ),
    to(LOOK, "what the project says about itself: its readme, manifests and CI files."),
    to(
        RUN,
        "install, build and test as those say, one shell line per call, and note every step that was not written down; the notes become the report, a file.",
    ),
    WAIT,
    to(
        &["service_start", "service_status", "service_logs"],
        "start what the project serves, with a readiness probe, and probe it.",
    ),
    SUMMARY,
    REPORT,
    to(
        &["workspace_reset"],
        "back to the fresh checkout, to prove that the noted steps are enough; files that are not exported are gone then.",
    ),
    DELETE,
];

const REVIEW_EVAL: &[Move] = &[
    to(
        CREATE,
        "once, first: an isolated copy of what is reviewed; give it a name and use that name as `workspace`.",
    ),
    to(&["snapshot_create"], "name the state that every check begins with."),
    LOOK_AROUND,
    to(
        RUN,
        "one check after the other; keep in mind what each showed, and after the last write it to a file, the report.",
    ),
    WAIT,
    to(&["shell_open", "shell_write", "shell_read"], "checks that want a terminal."),
    DIFF,
    to(
        &["workspace_reset"],
        "back to the state that checks begin with, between checks that change things.",
    ),
    SUMMARY,
    REPORT,
    DELETE,
];

fn all(set: Toolset) -> &'static [Move] {
    match set {
        Toolset::Profile(_) => ANY,
        Toolset::Mode(Mode::ReproFix) => REPRO_FIX,
        Toolset::Mode(Mode::Inspect) => INSPECT,
        Toolset::Mode(Mode::ColdStart) => COLD_START,
        Toolset::Mode(Mode::ReviewEval) => REVIEW_EVAL,
    }
}

/// The moves of a story as a numbered list, with the tools that the server shows.
pub(crate) fn list(story: Toolset, surface: &Surface) -> String {
    let mut text = String::new();
    let mut number = 0;
    for step in all(story) {
        let shown: Vec<&str> =
            step.tools.iter().copied().filter(|name| surface.shows(name)).collect();
        let mut about = step.about.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // A move may name another tool in its words.
        let speaks_of_absent = about
            .any(|word| pyro_operations::list::find(word).is_some_and(|o| !surface.shows(o.name)));
        if shown.is_empty() || speaks_of_absent {
            continue;
        }
        number += 1;
        let _ = writeln!(text, "{number}. {}: {}", shown.join(", "), step.about);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pyro_operations::{OPERATIONS, Profile};

    use super::*;

    /// Tools of the contract that are still to come.
    const TO_COME: &[&str] = &[
        "workspace_summary",
        "snapshot_create",
        "service_start",
        "service_status",
        "service_logs",
        "shell_open",
        "shell_write",
        "shell_read",
    ];

    #[test]
    fn moves_name_tools_of_the_contract() {
        for step in Toolset::all().flat_map(all) {
            for tool in step.tools {
                let there = pyro_operations::list::find(tool).is_some();
                assert!(there != TO_COME.contains(tool), "{tool}: one or the other");
            }
        }
    }

    #[test]
    fn a_story_moves_every_tool_that_its_moves_may_take_and_begins_with_create() {
        for mode in Mode::ALL {
            let set = Toolset::Mode(*mode);
            let surface = Surface::new(set, Arc::default());
            let text = list(set, &surface);
            assert!(text.starts_with("1. workspace_create: "), "{text}");
            assert!(text.trim_end().ends_with("when the user has the result."), "{text}");
            for operation in OPERATIONS.iter().filter(|operation| !operation.is_in(set)) {
                let word = |word: &str| operation.name.contains('_') && word == operation.name;
                let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                assert!(!words.any(word), "{} in {text}", operation.name);
            }
        }
    }

    #[test]
    fn a_profile_without_workspaces_has_one_move() {
        let set = Toolset::Profile(Profile::VmRun);
        let text = list(set, &Surface::new(set, Arc::default()));
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
