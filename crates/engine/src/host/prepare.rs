//! `prepare`: everything made that the first workspace would wait for, then one cycle as a proof.

use std::time::Instant;

use pyro_environment::EnvironmentName;
use pyro_machine_microvm::{Shape, TemplateState};
use pyro_model::{ExecState, Isolation, MachineChoice, MachineKind, limits};
use pyro_operations::{
    Code, Failure,
    environment::EnvironmentPull,
    exec::WorkspaceExec,
    host::{Prepare, PrepareReport, Readiness},
    workspace::{WorkspaceCreate, WorkspaceDelete, WorkspaceReset},
};

use super::milliseconds;
use crate::{
    Context, Engine, Handle,
    choice::{self, Choice, MICROVM_ENVIRONMENT},
    environment::{HOST, in_words},
    failure::OrFail,
    microvm::{QEMU, program_of_host},
    workspace::all_but_one,
};

/// How ready it was, and why not more.
struct Before {
    was: Readiness,
    reason: Option<String>,
    notices: Vec<String>,
    /// How long the boot took of a template that was made.
    boot_ms: Option<u64>,
}

impl Before {
    fn cold(reason: &str) -> Self {
        let reason = Some(reason.to_owned());
        Self { was: Readiness::Cold, reason, notices: Vec::new(), boot_ms: None }
    }

    fn warm() -> Self {
        Self { was: Readiness::Warm, reason: None, notices: Vec::new(), boot_ms: None }
    }
}

impl Handle<Prepare> for Engine {
    fn handle(&self, request: Prepare, context: &Context) -> Result<PrepareReport, Failure> {
        self.sweep();
        let began = Instant::now();
        let config = &self.settings().config;
        let asked = choice::asked(request.machine, config, context)?;
        let named = choice::named(request.environment.as_deref(), config, context)?;
        // Before the machine is decided on: whether it can be one with a kernel depends on this.
        let mut before = self.get_what_is_missing(named.as_deref(), asked, context)?;
        let Choice { machine, environment, notices } =
            choice::decide(asked, named, || self.kvm(context))?;
        let mut notices: Vec<_> = before.notices.drain(..).chain(notices).collect();
        let mut template = None;
        let mut boot_ms = None;
        if machine == MachineKind::Microvm {
            let of = self.template_of(&environment, request.force, context)?;
            boot_ms = of.boot_ms;
            if before.was == Readiness::Warm {
                before = of;
            }
        }
        let prepare_ms = milliseconds(began);
        let cycle = self.cycle(&environment, machine, context)?;
        if machine == MachineKind::Microvm {
            template = self.newest_template_bytes();
            notices.extend(cycle.notices.iter().cloned());
        }
        let kernel = match machine {
            MachineKind::Microvm => self.kernels()?.current().or_fail()?.as_ref().map(in_words),
            MachineKind::Container => None,
        };
        let what = match cycle.isolation {
            Isolation::Container => "a container",
            Isolation::MicrovmKvm => "a microVM",
            Isolation::MicrovmEmulated => "an emulated microVM",
        };
        Ok(PrepareReport {
            verdict: format!(
                "{environment} is ready: {what} is made in {} ms, a command takes {} ms, a reset {} ms",
                cycle.create_ms, cycle.exec_ms, cycle.reset_ms
            ),
            environment,
            machine,
            isolation: cycle.isolation,
            state: Readiness::Warm,
            was: before.was,
            reason: before.reason,
            kernel,
            template_bytes: template,
            prepare_ms,
            boot_ms,
            create_ms: cycle.create_ms,
            exec_ms: cycle.exec_ms,
            reset_ms: cycle.reset_ms,
            delete_ms: cycle.delete_ms,
            notices,
        })
    }
}

/// How long each step of a workspace's life took.
struct Cycle {
    isolation: Isolation,
    create_ms: u64,
    exec_ms: u64,
    reset_ms: u64,
    delete_ms: u64,
    notices: Vec<String>,
}

impl Engine {
    /// Pulls the environment if it is one of pyro's own and not here, and the kernel where a microVM
    /// may be wanted.
    fn get_what_is_missing(
        &self,
        named: Option<&str>,
        asked: MachineChoice,
        context: &Context,
    ) -> Result<Before, Failure> {
        let name = match (named, asked) {
            (Some(name), _) => name,
            (None, MachineChoice::Microvm) => MICROVM_ENVIRONMENT,
            (None, _) => HOST,
        };
        if name == HOST {
            return Ok(Before::warm());
        }
        let parsed: EnvironmentName = name.parse().or_fail()?;
        let missing = self.environments()?.resolve(&parsed).map(drop).is_err();
        if missing && pyro_environment::catalog::find(&parsed).is_some() {
            let request =
                EnvironmentPull { environment: name.to_owned(), force: false, kernel: None };
            let reply = self.call(request, context)?;
            let cold = Before::cold("the environment was not installed, or damaged");
            return Ok(Before { notices: reply.notices, ..cold });
        }
        let may = asked != MachineChoice::Container && program_of_host(QEMU).is_some();
        if may && !matches!(self.kernels()?.current(), Ok(Some(_))) {
            let got = self.kernel_too(None, false, context)?;
            return Ok(Before { notices: got.notices, ..Before::cold("there was no kernel") });
        }
        Ok(Before::warm())
    }

    /// Makes the template of this environment at the default sizes; how ready it was.
    fn template_of(
        &self,
        environment: &str,
        again: bool,
        context: &Context,
    ) -> Result<Before, Failure> {
        let machine = self.fit_for_microvm()?;
        let chosen = self.environment(environment, context)?;
        let layers: Vec<_> = chosen.root_lowers.iter().collect();
        self.prepare_layers(MachineKind::Microvm, &layers, context)?;
        let config = &self.settings().config;
        let Some(layer) = chosen.root_lowers.first() else {
            return Err(Failure::new(Code::Internal, format!("{environment} has no layer")));
        };
        let shape = Shape {
            environment: layer.clone(),
            cpus: config.cpus.unwrap_or_else(all_but_one),
            memory_mib: config.memory_mib.unwrap_or(limits::MICROVM_MEMORY_MIB),
            disk_mib: None,
        };
        if again {
            machine.drop_template(&shape).or_fail()?;
        }
        let mut before = match machine.template_state(&shape).or_fail()? {
            TemplateState::Warm => Before::warm(),
            TemplateState::Cold if again => Before::cold("it was made anew, as asked for"),
            TemplateState::Cold => {
                Before::cold("there was no template of this environment and size")
            }
            TemplateState::Stale { reason } => {
                Before { was: Readiness::Stale, reason: Some(reason), ..Before::warm() }
            }
        };
        let mut say = |step: &str| context.say(step, None);
        let made = machine.make_template(&shape, &mut say, Some(&context.cancel)).or_fail()?;
        let boot = made.map(|made| u64::try_from(made.boot().as_millis()).unwrap_or(u64::MAX));
        before.boot_ms = boot;
        Ok(before)
    }

    /// One create, exec, reset and delete.
    fn cycle(
        &self,
        environment: &str,
        machine: MachineKind,
        context: &Context,
    ) -> Result<Cycle, Failure> {
        context.say("one workspace, made, used, reset and deleted", None);
        // Nobody follows the proof's command.
        let context = &Context { live: None, patient: true, ..context.clone() };
        let request = WorkspaceCreate {
            environment: Some(environment.to_owned()),
            machine: Some(match machine {
                MachineKind::Container => MachineChoice::Container,
                MachineKind::Microvm => MachineChoice::Microvm,
            }),
            no_seed: true,
            ..WorkspaceCreate::default()
        };
        let began = Instant::now();
        let made = self.call(request, context)?;
        let create_ms = milliseconds(began);
        let delete = || {
            let began = Instant::now();
            let request = WorkspaceDelete { workspace: made.workspace.clone() };
            self.call(request, context).map(|_| milliseconds(began))
        };
        let used = || -> Result<(u64, u64), Failure> {
            // The first command also loads the shell; what is told is the second.
            self.prove(&made.workspace, context)?;
            let exec_ms = self.prove(&made.workspace, context)?;
            let began = Instant::now();
            let request = WorkspaceReset {
                workspace: made.workspace.clone(),
                snapshot: None,
                dry_run: false,
            };
            self.call(request, context)?;
            let reset_ms = milliseconds(began);
            self.prove(&made.workspace, context)?;
            Ok((exec_ms, reset_ms))
        };
        match used() {
            Ok((exec_ms, reset_ms)) => Ok(Cycle {
                isolation: made.isolation,
                create_ms,
                exec_ms,
                reset_ms,
                delete_ms: delete()?,
                notices: made.notices,
            }),
            Err(failure) => {
                // The caller hears what went wrong first.
                let _ = delete();
                Err(failure)
            }
        }
    }

    /// Runs one command that does nothing; how long that took.
    fn prove(&self, workspace: &str, context: &Context) -> Result<u64, Failure> {
        let request = WorkspaceExec {
            workspace: workspace.to_owned(),
            command: "true".to_owned(),
            cwd: None,
            env: std::collections::BTreeMap::new(),
            stdin: None,
            timeout_s: Some(60),
            wait_s: None,
            max_output_chars: None,
        };
        let began = Instant::now();
        let reply = self.call(request, context)?;
        if reply.state != ExecState::Exited || reply.exit_code != Some(0) {
            return Err(Failure::new(
                Code::MachineFailed,
                format!("`true` did not succeed in a fresh workspace: {}", reply.verdict),
            )
            .hint("`pyro doctor` says what this host lacks"));
        }
        Ok(milliseconds(began))
    }
}
