//! What goes back to the model: the reply or the failure, whole in both forms.

use pyro_operations::Failure;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};

use crate::{Surface, bound, spoken, text};

/// The result of a call, on a server with these tools.
pub(crate) fn answer(result: Result<Value, Failure>, surface: &Surface) -> CallToolResult {
    match result {
        Ok(reply) => {
            let reply = bound::fit(spoken::of_reply(reply, surface));
            let content = bound::text_of(&reply);
            let mut result = CallToolResult::structured(reply);
            result.content = vec![ContentBlock::text(content)];
            result
        }
        Err(failure) => {
            let failure = spoken::of_failure(failure, surface);
            let content = bound::fit_text(text::failure(&failure));
            let mut result = CallToolResult::error(vec![ContentBlock::text(content)]);
            result.structured_content = Some(bound::fit(json!({ "error": failure })));
            result
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pyro_operations::{Code, Profile, Toolset};

    use super::*;

    #[test]
    fn both_forms_of_a_failure_are_whole() {
        let failure = Failure::new(Code::NotFound, "workspace `a` does not exist")
            .hint("call workspace_list")
            .detail("kind", "workspace");
        let surface = Surface::new(Toolset::Profile(Profile::WorkspaceCore), Arc::default());
        let result = serde_json::to_value(answer(Err(failure), &surface)).unwrap();
        assert_eq!(result["isError"], true);
        assert_eq!(result["structuredContent"]["error"]["code"], "not_found");
        assert_eq!(result["structuredContent"]["error"]["hint"], "call workspace_list");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with("not_found: workspace `a` does not exist\nNext: call "), "{text}");
    }
}
