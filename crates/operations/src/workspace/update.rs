//! `workspace_update`: its name and labels.

use std::collections::BTreeMap;

use pyro_model::{LabelKey, LabelValue, WorkspaceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Failure, Request, reply::WorkspaceReply};

/// Changes a workspace's name and labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceUpdate {
    /// Its id, name, or unique id prefix.
    #[schemars(extend("x-position" = 0))]
    pub workspace: String,
    /// Its new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub name: Option<WorkspaceName>,
    /// Take its name away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clear_name: bool,
    /// Labels to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>", extend("x-flag" = "label"))]
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Keys of labels to take away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", extend("x-flag" = "clear-label"))]
    pub clear_labels: Vec<LabelKey>,
}

impl Request for WorkspaceUpdate {
    type Reply = WorkspaceReply;
    const NAME: &'static str = "workspace_update";

    fn check(&self) -> Result<(), Failure> {
        let refuse = |message: &str| Err(Failure::new(Code::InvalidArgument, message));
        if self.name.is_some() && self.clear_name {
            return refuse("name and clear_name exclude each other");
        }
        if self.clear_labels.iter().any(|key| self.labels.contains_key(key)) {
            return refuse("a label is both set and cleared");
        }
        if self.name.is_none()
            && !self.clear_name
            && self.labels.is_empty()
            && self.clear_labels.is_empty()
        {
            return refuse("nothing to change: give name, clear_name, labels or clear_labels");
        }
        Ok(())
    }
}
