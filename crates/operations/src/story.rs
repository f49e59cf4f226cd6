//! What a story changes about the tools that it shows: words that fit it, and fields that make no
//! sense in it. Written once for every door that shows tools to a model; what is not named here is
//! as the list says.
//!
//! A description that stands here is cut like the list's own: sentences about tools that a server
//! does not show are left out.

use crate::request::Mode;

/// A tool's own words in a story.
struct Said {
    mode: Mode,
    operation: &'static str,
    summary: &'static str,
}

const SAID: &[Said] = &[
    Said {
        mode: Mode::ReproFix,
        operation: "workspace_create",
        summary: "Makes a fresh, isolated copy of the project for one issue; the host's files stay as they are. Begin with it, name it after the issue, then run and edit in the workspace only through these tools.",
    },
    Said {
        mode: Mode::Inspect,
        operation: "workspace_create",
        summary: "Copies a tree that is not trusted into an isolated workspace without network; the host's files stay as they are, and nothing of the tree runs on the host. Begin with it.",
    },
    Said {
        mode: Mode::ColdStart,
        operation: "workspace_create",
        summary: "Makes a fresh, isolated copy of the checkout, as somebody has it who just cloned it: nothing is installed or built. Begin with it.",
    },
    Said {
        mode: Mode::ReviewEval,
        operation: "workspace_create",
        summary: "Makes a fresh, isolated copy of what is to be reviewed; the host's files stay as they are. Begin with it.",
    },
    Said {
        mode: Mode::Inspect,
        operation: "workspace_exec",
        summary: "Runs one shell line in the workspace, starting in /workspace (or cwd), without network; cd and exported variables do not carry over. Take the smallest command that makes the report, and read a program before you run it. A command that takes longer than wait_s goes on and is waited for with workspace_exec_wait.",
    },
    Said {
        mode: Mode::ColdStart,
        operation: "workspace_exec",
        summary: "Runs one shell line in the workspace, starting in /workspace (or cwd): install, build, test, as the project's own docs say it; cd and exported variables do not carry over. A command that takes longer than wait_s goes on and is waited for with workspace_exec_wait.",
    },
    Said {
        mode: Mode::Inspect,
        operation: "workspace_export",
        summary: "Copies the report, a file or a directory, from the workspace to the host; never overwrites. Nothing else of the tree is taken out.",
    },
    Said {
        mode: Mode::ColdStart,
        operation: "workspace_export",
        summary: "Copies the report, a file or a directory, from the workspace to the host; never overwrites.",
    },
    Said {
        mode: Mode::ColdStart,
        operation: "workspace_reset",
        summary: "Takes the workspace back to the fresh checkout: a fresh machine, all that was installed and all processes gone, same id and name. Proves that the steps work from nothing.",
    },
];

/// Fields that a story leaves out, beside those that only `workspace-full` has.
struct Withheld {
    modes: &'static [Mode],
    operation: &'static str,
    fields: &'static [&'static str],
}

/// Stories about one workspace: nothing is sorted by labels there.
const ONE_WORKSPACE: &[Mode] = &[Mode::Inspect, Mode::ColdStart, Mode::ReviewEval];
/// Stories whose result is a report, not a change.
const REPORT: &[Mode] = &[Mode::Inspect, Mode::ColdStart];

const WITHHELD: &[Withheld] = &[
    // Every story is about a project.
    Withheld { modes: Mode::ALL, operation: "workspace_create", fields: &["no_seed"] },
    Withheld { modes: ONE_WORKSPACE, operation: "workspace_create", fields: &["labels"] },
    Withheld { modes: ONE_WORKSPACE, operation: "workspace_list", fields: &["labels", "state"] },
    // What is ignored is not there in a fresh checkout.
    Withheld { modes: &[Mode::ColdStart], operation: "workspace_create", fields: &["include"] },
    Withheld { modes: REPORT, operation: "workspace_export", fields: &["kind"] },
    // Snapshots are moves of a review only.
    Withheld {
        modes: &[Mode::ReproFix, Mode::Inspect, Mode::ColdStart],
        operation: "workspace_reset",
        fields: &["snapshot"],
    },
];

/// What an operation's tool says in a story, where that is not the row's summary.
#[must_use]
pub fn summary(mode: Mode, operation: &str) -> Option<&'static str> {
    let said = SAID.iter().find(|said| said.mode == mode && said.operation == operation)?;
    Some(said.summary)
}

/// Whether a story leaves this field of an operation out.
#[must_use]
pub fn withholds(mode: Mode, operation: &str, field: &str) -> bool {
    WITHHELD.iter().any(|row| {
        row.operation == operation && row.modes.contains(&mode) && row.fields.contains(&field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list;

    #[test]
    fn every_word_is_about_a_tool_of_the_story() {
        for said in SAID {
            let operation = list::find(said.operation).unwrap();
            assert!(operation.modes.contains(&said.mode), "{}", said.operation);
            assert_ne!(said.summary, operation.summary);
        }
    }

    #[test]
    fn only_optional_fields_of_tools_of_the_story_are_withheld() {
        for row in WITHHELD {
            let operation = list::find(row.operation).unwrap();
            assert!(row.modes.iter().all(|mode| operation.modes.contains(mode)));
            let schema = (operation.request_schema)();
            for field in row.fields {
                let property = &schema["properties"][field];
                assert!(property.is_object(), "{}.{field}", row.operation);
                assert!(property.get("x-full").is_none(), "{}.{field}", row.operation);
                let required = schema["required"].as_array();
                assert!(!required.is_some_and(|fields| fields.iter().any(|f| f == field)));
            }
        }
    }
}
