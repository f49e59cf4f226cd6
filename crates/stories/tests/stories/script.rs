//! What the model does in a story: calls of tools, one after another, and what must come back.

use std::collections::VecDeque;

use serde_json::Value;

use crate::received::Received;

type Arguments = Box<dyn FnOnce(&[Received]) -> Value + Send>;
type Check = Box<dyn FnOnce(&Received) + Send>;

/// One call.
pub(crate) struct Step {
    pub(crate) tool: &'static str,
    pub(crate) arguments: Arguments,
    pub(crate) check: Check,
}

#[derive(Default)]
pub(crate) struct Script {
    pub(crate) steps: VecDeque<Step>,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Calls a tool; `check` asserts on what the model received.
    pub(crate) fn call(
        &mut self,
        tool: &'static str,
        arguments: Value,
        check: impl FnOnce(&Received) + Send + 'static,
    ) -> &mut Self {
        self.call_with(tool, move |_| arguments, check)
    }

    /// The same with arguments made from what came back so far.
    pub(crate) fn call_with(
        &mut self,
        tool: &'static str,
        arguments: impl FnOnce(&[Received]) -> Value + Send + 'static,
        check: impl FnOnce(&Received) + Send + 'static,
    ) -> &mut Self {
        self.steps.push_back(Step { tool, arguments: Box::new(arguments), check: Box::new(check) });
        self
    }

    /// The tools that the script calls.
    pub(crate) fn tools(&self) -> Vec<&'static str> {
        self.steps.iter().map(|step| step.tool).collect()
    }
}
