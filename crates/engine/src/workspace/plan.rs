//! What a new workspace will be: its environment, seed, sizes and name, all checked before
//! anything of it is recorded.

use pyro_model::{Isolation, MachineChoice, MachineKind, Timestamp, limits};
use pyro_operations::{Code, Failure, reply::LackingTool, workspace::WorkspaceCreate};
use pyro_store::{Found, Phase, Record, RunSpec};

use super::source::Seeded;
use crate::{Context, Engine, environment::Chosen, failure::OrFail, lookup::new_workspace_id};

/// A workspace to be made.
pub(crate) struct Plan {
    pub(crate) record: Record,
    /// Workspaces that may exist at once.
    pub(crate) most: u64,
    pub(crate) notices: Vec<String>,
    pub(crate) lacking_tools: Vec<LackingTool>,
    /// Keeps environment and seed from being collected until the record names them.
    pub(crate) held: Box<dyn std::any::Any + Send>,
}

impl Engine {
    /// Checks a request and gathers what the workspace is made of.
    pub(crate) fn plan(
        &self,
        request: WorkspaceCreate,
        context: &Context,
    ) -> Result<Plan, Failure> {
        let config = &self.settings().config;
        let fence = context.fence.as_deref();
        if let Some(name) = &request.name
            && let Found::One(taken) = self.store().find(name.as_str()).or_fail()?
        {
            return Err(Failure::new(
                Code::AlreadyExists,
                format!("the name `{name}` is taken by {}", taken.id),
            )
            .hint("take another name, or go on in that workspace with workspace_status")
            .detail("kind", "name")
            .detail("workspace", taken.id.as_str()));
        }
        let machine = self.choose_machine(&request, context)?;
        let chosen = self.choose_environment(request.environment.as_deref(), context)?;
        // More than the server allows is refused where it was asked for, else cut.
        let ceiling = |what: &str, asked: Option<u64>, default: u64, most: Option<u64>| {
            let most = most.unwrap_or(u64::MAX);
            match asked {
                Some(asked) if asked > most => Err(Failure::new(
                    Code::LimitReached,
                    format!("{what}: {asked} asked for, this server allows {most}"),
                )
                .hint(format!("leave {what} out, or give at most {most}"))),
                asked => Ok(asked.unwrap_or_else(|| default.min(most))),
            }
        };
        let cpus = config.cpus.unwrap_or_else(all_but_one).into();
        let most = fence.and_then(|f| f.max_cpus).map(u64::from);
        let cpus = ceiling("cpus", request.cpus.map(u64::from), cpus, most)?;
        let cpus = u32::try_from(cpus).unwrap_or(u32::MAX);
        let memory_mib = ceiling(
            "memory_mib",
            request.memory_mib,
            config.memory_mib.unwrap_or(limits::CONTAINER_MEMORY_MIB),
            fence.and_then(|f| f.max_memory_mib),
        )?;
        let seeded = self.seed(&request, context)?;
        let also_at = seeded.checkout.clone().filter(|_| chosen.is_host);
        let lacking_tools = chosen.lacking(&seeded.top_level);
        let Chosen { name, digest, root_lowers, binds, variables, notices: mut told, held, .. } =
            chosen;
        let Seeded { key, tree_lowers, reply, notices, held: seed_held, .. } = seeded;
        told.extend(notices);
        let now = Timestamp::now();
        let record = Record {
            id: new_workspace_id(),
            name: request.name,
            labels: request.labels,
            phase: Phase::Creating,
            ephemeral: false,
            machine,
            isolation: Isolation::Container,
            environment: name,
            environment_digest: digest,
            run: RunSpec {
                root_lowers,
                tree_lowers,
                binds,
                also_at,
                variables,
                cpus,
                memory_mib,
                disk_mib: request.disk_mib,
            },
            seed_key: key,
            seed: serde_json::to_value(&reply)
                .map_err(|error| Failure::new(Code::Internal, error.to_string()))?,
            not_enforced: serde_json::json!([]),
            network: "off".to_owned(),
            idle_ttl_s: request.idle_ttl_s.or(config.idle_ttl_s).unwrap_or(limits::IDLE_TTL_S),
            created_at: now,
            last_activity_at: now,
            generation: 0,
            changed_files: Some(0),
            patch_sha256: None,
            exported_sha256: None,
            spool_offset: 0,
        };
        let most = config.max_workspaces.unwrap_or(limits::WORKSPACES);
        let most = fence.and_then(|f| f.max_workspaces).map_or(most, |fenced| most.min(fenced));
        Ok(Plan { record, most, notices: told, lacking_tools, held: Box::new((held, seed_held)) })
    }

    /// What runs it: what was asked for, never anything else.
    fn choose_machine(
        &self,
        request: &WorkspaceCreate,
        context: &Context,
    ) -> Result<MachineKind, Failure> {
        let pinned = context.fence.as_deref().and_then(|fence| fence.machine);
        let asked = match (request.machine, pinned) {
            (Some(asked), Some(pinned)) if asked != pinned && pinned != MachineChoice::Auto => {
                return Err(Failure::new(
                    Code::NotPermitted,
                    format!("machine: this server runs workspaces in `{pinned}` only"),
                ));
            }
            (Some(asked), _) => asked,
            (None, Some(pinned)) => pinned,
            (None, None) => match self.settings().config.machine.as_deref() {
                None => MachineChoice::Auto,
                Some(text) => MachineChoice::parse(text).ok_or_else(|| {
                    Failure::new(Code::InvalidArgument, format!("configuration: machine `{text}`"))
                        .hint("use auto, container or microvm")
                })?,
            },
        };
        match asked {
            MachineChoice::Auto | MachineChoice::Container => Ok(MachineKind::Container),
            // Says why not.
            MachineChoice::Microvm => {
                self.machine(MachineKind::Microvm).map(|_| MachineKind::Microvm)
            }
        }
    }
}

fn all_but_one() -> u32 {
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(all.saturating_sub(1).max(1)).unwrap_or(1)
}
