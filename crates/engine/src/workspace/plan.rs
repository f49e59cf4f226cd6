//! What a new workspace will be: its environment, seed, sizes and name, all checked before
//! anything of it is recorded.

use std::sync::Arc;

use pyro_machine::Machine;
use pyro_machine_microvm::Shape;
use pyro_model::{MachineChoice, MachineKind, Timestamp, limits};
use pyro_operations::{Code, Failure, reply::LackingTool, workspace::WorkspaceCreate};
use pyro_store::{Found, Phase, Record, RunSpec};

use super::source::Seeded;
use crate::{
    Context, Door, Engine, ceiling,
    choice::{self, Choice},
    environment::{Chosen, HOST},
    failure::OrFail,
    lookup::new_workspace_id,
};

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
        let fence = context.fence();
        // Refused before anything is done: the last of the checks that need no work.
        let network = match fence {
            Some(fence) => fence.network.narrow(request.network.as_deref())?,
            None => "off",
        };
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
        let source = self.source(&request, context)?;
        let Choice { machine: kind, environment, notices: mut told } =
            self.choose(request.machine, request.environment.as_deref(), context)?;
        let machine: Arc<dyn Machine> = match kind {
            MachineKind::Container => self.machine(kind)?,
            MachineKind::Microvm => self.fit_for_microvm()?,
        };
        let unnamed = request.environment.is_none();
        let chosen = self.environment(&environment, context).map_err(|failure| {
            // Leaving it out, which is what else would be said, is what was done.
            if unnamed && failure.code == Code::EnvironmentMissing {
                let instead = fence.is_some_and(|fence| fence.allows_environment(HOST));
                return failure.hint(match (context.door, instead) {
                    (Door::Mcp, true) => format!(
                        "ask the person to run `pyro env pull {environment}`, or give environment `{HOST}`, this machine's own toolchains"
                    ),
                    (Door::Mcp, false) => {
                        format!("ask the person to run `pyro env pull {environment}`, then call again")
                    }
                    _ => format!("`pyro env pull {environment}` gets it"),
                });
            }
            if unnamed && context.door == Door::Mcp && failure.code == Code::NotFound {
                return failure.hint(
                    "ask the person to start the server with an environment that `pyro env list` shows",
                );
            }
            failure
        })?;
        let cpus = config.cpus.unwrap_or_else(all_but_one).into();
        let most = fence.and_then(|f| f.max_cpus).map(u64::from);
        let cpus = ceiling::size("cpus", request.cpus.map(u64::from), cpus, most)?;
        let cpus = u32::try_from(cpus).unwrap_or(u32::MAX);
        let memory_mib = ceiling::size(
            "memory_mib",
            request.memory_mib,
            config.memory_mib.unwrap_or(match kind {
                MachineKind::Container => limits::CONTAINER_MEMORY_MIB,
                MachineKind::Microvm => limits::MICROVM_MEMORY_MIB,
            }),
            fence.and_then(|f| f.max_memory_mib),
        )?;
        let seeded = self.seed(&request, source, context)?;
        let also_at = seeded.checkout.clone().filter(|_| chosen.is_host);
        let lacking_tools = chosen.lacking(&seeded.top_level);
        let Chosen { name, digest, root_lowers, binds, variables, notices, held, .. } = chosen;
        told.extend(notices);
        let Seeded { key, tree_lowers, reply, notices, held: seed_held, .. } = seeded;
        told.extend(notices);
        let layers: Vec<_> = root_lowers.iter().chain(&tree_lowers).collect();
        self.prepare_layers(kind, &layers, context)?;
        if kind == MachineKind::Microvm
            && let Some(environment) = root_lowers.first()
        {
            let disk_mib = request.disk_mib;
            let environment = environment.clone();
            let shape = Shape { environment, cpus, memory_mib, disk_mib };
            told.extend(self.template_first(&shape, context)?);
        }
        let now = Timestamp::now();
        let record = Record {
            id: new_workspace_id(),
            name: request.name,
            labels: request.labels,
            phase: Phase::Creating,
            ephemeral: false,
            machine: kind,
            isolation: machine.isolation(),
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
            network: network.to_owned(),
            idle_ttl_s: request.idle_ttl_s.or(config.idle_ttl_s).unwrap_or(limits::IDLE_TTL_S),
            created_at: now,
            last_activity_at: now,
            generation: 0,
            changed_files: Some(0),
            patch_sha256: None,
            exported_sha256: None,
            spool_offset: 0,
            state_reason: None,
        };
        let most = config.max_workspaces.unwrap_or(limits::WORKSPACES);
        let most = fence.and_then(|f| f.max_workspaces).map_or(most, |fenced| most.min(fenced));
        Ok(Plan { record, most, notices: told, lacking_tools, held: Box::new((held, seed_held)) })
    }

    /// What runs it, and in which environment.
    pub(crate) fn choose(
        &self,
        machine: Option<MachineChoice>,
        environment: Option<&str>,
        context: &Context,
    ) -> Result<Choice, Failure> {
        let config = &self.settings().config;
        let asked = choice::asked(machine, config, context)?;
        let named = choice::named(environment, config, context)?;
        choice::decide(asked, named, || self.kvm(context))
    }
}

/// Cores of a workspace when nobody says.
pub(crate) fn all_but_one() -> u32 {
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(all.saturating_sub(1).max(1)).unwrap_or(1)
}
