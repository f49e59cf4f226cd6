//! What goes back to the model: the reply or the failure, whole in both forms.

use pyro_operations::Failure;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};

use crate::{bound, text};

/// The result of a call.
pub(crate) fn answer(result: Result<Value, Failure>) -> CallToolResult {
    match result {
        Ok(reply) => {
            let reply = bound::fit(reply);
            let content = bound::fit_text(text::reply(&reply));
            let mut result = CallToolResult::structured(reply);
            result.content = vec![ContentBlock::text(content)];
            result
        }
        Err(failure) => {
            let content = bound::fit_text(text::failure(&failure));
            let mut result = CallToolResult::error(vec![ContentBlock::text(content)]);
            result.structured_content = Some(bound::fit(json!({ "error": failure })));
            result
        }
    }
}

#[cfg(test)]
mod tests {
    use pyro_operations::Code;

    use super::*;

    #[test]
    fn both_forms_of_a_failure_are_whole() {
        let failure = Failure::new(Code::NotFound, "workspace `a` does not exist")
            .hint("call workspace_list")
            .detail("kind", "workspace");
        let result = serde_json::to_value(answer(Err(failure))).unwrap();
        assert_eq!(result["isError"], true);
        assert_eq!(result["structuredContent"]["error"]["code"], "not_found");
        assert_eq!(result["structuredContent"]["error"]["hint"], "call workspace_list");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with("not_found: workspace `a` does not exist\nNext: call "), "{text}");
    }
}
