//! A workspace as replies show it.

use pyro_model::WorkspaceState;
use pyro_operations::{
    Code, Failure,
    reply::{Network, NotEnforced, Resources, Seed, WorkspaceReply},
};
use pyro_store::{Phase, Record};

use crate::{Engine, failure::OrFail};
use pyro_model::limits;

impl Engine {
    /// The state of a workspace: recorded where it is in a change, else its machine's.
    pub(crate) fn state(&self, record: &Record) -> Result<WorkspaceState, Failure> {
        Ok(match record.phase {
            Phase::Creating => WorkspaceState::Creating,
            Phase::Deleting => WorkspaceState::Deleting,
            Phase::Resetting | Phase::Live => {
                let directory = self.layout().workspace(&record.id);
                if self.machine(record.machine)?.is_running(&directory).or_fail()? {
                    WorkspaceState::Running
                } else {
                    WorkspaceState::Stopped
                }
            }
        })
    }

    /// Changes that no export holds; absent when nobody has counted since the last change.
    pub(crate) fn unexported(record: &Record) -> Option<bool> {
        match (record.changed_files, &record.patch_sha256) {
            (Some(0), _) => Some(false),
            (Some(_), Some(patch)) => Some(record.exported_sha256.as_ref() != Some(patch)),
            _ => None,
        }
    }

    /// The reply; `running` when the caller knows that its machine is up.
    pub(crate) fn show(&self, record: &Record, running: bool) -> Result<WorkspaceReply, Failure> {
        let state = if running { WorkspaceState::Running } else { self.state(record)? };
        let damaged = |what: &str| {
            Failure::new(Code::StoreDamaged, format!("the record of {} has no {what}", record.id))
        };
        let seed: Seed =
            serde_json::from_value(record.seed.clone()).map_err(|_| damaged("seed"))?;
        let not_enforced: Vec<NotEnforced> =
            serde_json::from_value(record.not_enforced.clone()).map_err(|_| damaged("limits"))?;
        let running_execs = match state {
            WorkspaceState::Running => self.store().running(&record.id).or_fail()?,
            _ => Vec::new(),
        };
        let who = record.name.as_ref().map_or_else(|| record.id.to_string(), ToString::to_string);
        let changes = match record.changed_files {
            None => "changes not counted since the last command".to_owned(),
            Some(0) => "no changes".to_owned(),
            Some(1) => "1 changed file".to_owned(),
            Some(n) => format!("{n} changed files"),
        };
        Ok(WorkspaceReply {
            verdict: format!("{who} is {state}: environment {}, {changes}", record.environment),
            workspace: record.id.to_string(),
            name: record.name.as_ref().map(ToString::to_string),
            labels: record
                .labels
                .iter()
                .map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned()))
                .collect(),
            state,
            state_reason: match state {
                WorkspaceState::Stopped => record.state_reason.clone(),
                _ => None,
            },
            machine: record.machine,
            isolation: record.isolation,
            environment: record.environment.clone(),
            seed,
            network: Network { policy: record.network.clone(), allow_hosts: Vec::new() },
            resources: Resources {
                cpus: record.run.cpus,
                memory_mib: record.run.memory_mib,
                disk_mib: record.run.disk_mib.unwrap_or(limits::DISK_MIB),
                not_enforced,
            },
            changed_files: record.changed_files,
            unexported: Self::unexported(record),
            created_at: record.created_at,
            last_activity_at: record.last_activity_at,
            idle_ttl_s: record.idle_ttl_s,
            running_execs,
            started: false,
            created: false,
            lacking_tools: Vec::new(),
            lost: None,
            next: None,
            notices: Vec::new(),
        })
    }
}
