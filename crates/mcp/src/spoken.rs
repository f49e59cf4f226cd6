//! Keeps a reply from naming tools that the server does not show: operations speak of each other in
//! hints and in `next`, and know nothing of profiles and modes.

use pyro_operations::{Failure, list};
use serde_json::Value;

use crate::Surface;

/// The reply, without a next step that cannot be taken.
pub(crate) fn of_reply(mut reply: Value, surface: &Surface) -> Value {
    let Some(fields) = reply.as_object_mut() else { return reply };
    let Some(next) = fields.get_mut("next") else { return reply };
    let there = next["tool"].as_str().is_some_and(|tool| surface.shows(tool));
    if !there {
        fields.shift_remove("next");
    } else if let Some(Value::String(why)) = next.get_mut("why") {
        *why = clauses(why, surface);
    }
    reply
}

/// The failure, whose hint names only what can be called.
pub(crate) fn of_failure(mut failure: Failure, surface: &Surface) -> Failure {
    failure.hint = clauses(&failure.hint, surface);
    failure
}

/// The clauses that name no absent tool.
fn clauses(text: &str, surface: &Surface) -> String {
    let absent = |clause: &str| {
        let words = clause.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named = words.filter(|word| word.contains('_')).filter_map(list::find);
        named.into_iter().any(|operation| !surface.shows(operation.name))
    };
    if !absent(text) {
        return text.to_owned();
    }
    let kept: Vec<&str> = text
        .split("; ")
        .flat_map(|part| part.split(". "))
        .filter(|clause| !absent(clause))
        .collect();
    kept.join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pyro_operations::{Code, Mode, Profile, Toolset};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hint_names_what_can_be_called() {
        let inspect = Surface::new(Toolset::Mode(Mode::Inspect), Arc::default());
        let core = Surface::new(Toolset::Profile(Profile::WorkspaceCore), Arc::default());
        let hint = "read it with workspace_file_read; write it with workspace_file_write";
        let failure = Failure::new(Code::TooLarge, "m").hint(hint);
        assert_eq!(of_failure(failure.clone(), &core).hint, hint);
        assert_eq!(of_failure(failure, &inspect).hint, "read it with workspace_file_read");
        let only = Failure::new(Code::TooLarge, "m").hint("call vm_run");
        assert_eq!(of_failure(only, &inspect).hint, "");
    }

    #[test]
    fn a_next_step_that_cannot_be_taken_is_not_told() {
        let inspect = Surface::new(Toolset::Mode(Mode::Inspect), Arc::default());
        let reply =
            |tool: &str| json!({"verdict": "v", "next": {"tool": tool, "why": "w"}, "z": 1});
        assert_eq!(of_reply(reply("workspace_diff"), &inspect), json!({"verdict": "v", "z": 1}));
        let kept = reply("workspace_exec");
        assert_eq!(of_reply(kept.clone(), &inspect), kept);
    }
}
