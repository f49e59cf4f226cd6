//! What a long call is doing, for whoever watches.

use serde::{Deserialize, Serialize};

/// The steps of an installation, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Another call pulls the same environment; this one waits for it.
    Waiting,
    /// The installed one is read whole and its digest compared.
    Verifying,
    /// Packages are downloaded and installed.
    Bootstrapping,
    /// Archives are unpacked.
    Unpacking,
    /// The result is read whole for its digest.
    Measuring,
    /// It is moved into place.
    Installing,
}

/// One report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The step.
    pub stage: Stage,
    /// One line about it.
    pub detail: String,
    /// How far the step is, where that is known.
    pub percent: Option<u8>,
}

impl Progress {
    pub(crate) fn at(stage: Stage, detail: impl Into<String>) -> Self {
        Self { stage, detail: detail.into(), percent: None }
    }
}

/// Takes reports.
pub type ProgressSink<'a> = dyn FnMut(Progress) + 'a;
