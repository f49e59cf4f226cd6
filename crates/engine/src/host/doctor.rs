//! `doctor`: what works here, what does not, the command that mends it, and what pyro owns.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pyro_machine::Machine;
use pyro_machine_container::{Check, ContainerMachine, checks};
use pyro_model::WorkspaceState;
use pyro_operations::{
    Failure,
    host::{Doctor, DoctorCheck, DoctorReport, HomeUse, OwnedProcess},
};
use pyro_store::layout::FOLDERS;

use crate::{
    Context, Engine, Handle, ProjectSource,
    diff::hex,
    failure::{OrFail, host_file},
    lookup::random,
};

/// The check of a whole container: without it nothing runs; the others say why, or what could be
/// better.
const REQUIRED: &str = "container";

impl Handle<Doctor> for Engine {
    fn handle(&self, request: Doctor, context: &Context) -> Result<DoctorReport, Failure> {
        self.sweep();
        let machine = self.container()?;
        let mut rows: Vec<DoctorCheck> = self
            .container_checks(&machine)?
            .into_iter()
            .chain(self.microvm_checks(request.quick))
            .map(|check| DoctorCheck {
                check: check.name.to_owned(),
                ok: check.ok,
                required: check.name == REQUIRED,
                found: check.found,
                needed_for: check.needed_for.to_owned(),
                mend: (!check.ok && !check.mend.is_empty()).then_some(check.mend),
            })
            .collect();
        rows.push(self.store_check());
        rows.push(project_check(context));
        rows.extend(programs());
        if let Some(name) = &request.environment {
            rows.push(self.environment_check(name, context));
        }
        let broken = rows.iter().filter(|row| !row.ok && row.required).count();
        let weaker = rows.iter().filter(|row| !row.ok && !row.required).count();
        let verdict = match (broken, weaker) {
            (0, 0) => "everything works here".to_owned(),
            (0, 1) => "workspaces work here; 1 thing could be better".to_owned(),
            (0, n) => format!("workspaces work here; {n} things could be better"),
            (1, _) => "workspaces do not work here: 1 thing to mend".to_owned(),
            (n, _) => format!("workspaces do not work here: {n} things to mend"),
        };
        Ok(DoctorReport {
            verdict,
            healthy: broken == 0,
            machine: machine.kind().to_string(),
            isolation: machine.isolation().to_string(),
            checks: rows,
            home: self.layout().home().display().to_string(),
            home_use: self.home_use(),
            processes: self.processes()?,
            notices: Vec::new(),
        })
    }
}

fn check(
    name: &str,
    ok: bool,
    required: bool,
    found: String,
    needed_for: &str,
    mend: &str,
) -> DoctorCheck {
    DoctorCheck {
        check: name.to_owned(),
        ok,
        required,
        found,
        needed_for: needed_for.to_owned(),
        mend: (!ok && !mend.is_empty()).then(|| mend.to_owned()),
    }
}

/// What a bare `pyro mcp serve` would take as its project here.
fn project_check(context: &Context) -> DoctorCheck {
    let user_home = std::env::var_os("HOME").map(PathBuf::from);
    let source = ProjectSource::around(&context.cwd, user_home.as_deref());
    let ok = !matches!(source, ProjectSource::Unusable { .. });
    let needed_for = "workspaces of a server that is started here without a source";
    let mend = "start it with --project-path DIR or --repo-url URL";
    check("project", ok, false, source.for_person(), needed_for, mend)
}

/// Programs of the host that pyro calls.
fn programs() -> Vec<DoctorCheck> {
    let on_path = |name: &str| {
        std::env::var_os("PATH").and_then(|path| {
            std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
        })
    };
    let row = |name: &str, needed_for: &str| {
        let found = on_path(name);
        let text = found.as_ref().map_or("not found".to_owned(), |path| path.display().to_string());
        let mend = format!("sudo apt-get install -y {name}");
        check(name, found.is_some(), false, text, needed_for, &mend)
    };
    vec![
        row("git", "seeding Git checkouts and repositories"),
        row("mmdebstrap", "pulling debian:12 environments"),
    ]
}

impl Engine {
    /// Starts a whole machine in an empty folder of the home, and looks around.
    fn container_checks(&self, machine: &ContainerMachine) -> Result<Vec<Check>, Failure> {
        let scratch = self.layout().tmp().join(format!("doctor-{}", hex(&random::<8>())));
        fs::create_dir(&scratch).map_err(|error| host_file("make", &scratch, &error))?;
        let found = checks(machine, &scratch);
        let trash = self.layout().trash().join(format!("doctor-{}", hex(&random::<8>())));
        fs::rename(&scratch, &trash).map_err(|error| host_file("move", &scratch, &error))?;
        self.discard(machine, &trash);
        Ok(found)
    }

    fn store_check(&self) -> DoctorCheck {
        let (ok, found) = match self.store().integrity() {
            Ok(answer) => (answer == "ok", answer),
            Err(error) => (false, error.to_string()),
        };
        check(
            "store",
            ok,
            true,
            found,
            "everything",
            "move the home away and begin anew: nothing outside it depends on it",
        )
    }

    /// Starts the environment once, and says how that went.
    fn environment_check(&self, name: &str, context: &Context) -> DoctorCheck {
        let request = pyro_operations::exec::VmRun {
            environment: Some(name.to_owned()),
            command: "true".to_owned(),
            cwd: None,
            env: std::collections::BTreeMap::new(),
            stdin: None,
            timeout_s: Some(30),
            wait_s: Some(60),
            max_output_chars: None,
            machine: None,
            network: None,
            cpus: None,
            memory_mib: None,
            seed_path: None,
            repo_url: None,
        };
        let needed_for = "workspaces of this environment";
        match self.call(request, context) {
            Ok(reply) if reply.exit_code == Some(0) => check(
                "environment",
                true,
                true,
                format!("{name}: started, ran a command, ended"),
                needed_for,
                "",
            ),
            Ok(reply) => check(
                "environment",
                false,
                true,
                format!("{name}: {}", reply.verdict),
                needed_for,
                "",
            ),
            Err(failure) => {
                check("environment", false, true, failure.message, needed_for, &failure.hint)
            }
        }
    }

    /// What lies in the home: every entry is known, or named as strange.
    fn home_use(&self) -> Vec<HomeUse> {
        let count = |path: &Path| fs::read_dir(path).map_or(0, |entries| entries.count() as u64);
        let mut uses = Vec::new();
        let Ok(entries) = fs::read_dir(self.layout().home()) else { return uses };
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort_unstable();
        for name in names {
            let holds = match FOLDERS.iter().find(|(known, _)| *known == name) {
                Some((_, holds)) => (*holds).to_owned(),
                None if name.starts_with("pyro.db") => "records and journal".to_owned(),
                None if name == "exports" => "exports made outside a project".to_owned(),
                None => "nothing that this pyro made".to_owned(),
            };
            let entries = count(&self.layout().home().join(&name));
            uses.push(HomeUse { path: name, holds, entries });
        }
        uses
    }

    fn processes(&self) -> Result<Vec<OwnedProcess>, Failure> {
        let mut processes = Vec::new();
        let records = self.store().all().or_fail()?;
        for record in records {
            if self.state(&record)? != WorkspaceState::Running {
                continue;
            }
            for (pid, purpose) in self.processes_of(&record) {
                processes.push(OwnedProcess {
                    pid,
                    purpose: purpose.to_owned(),
                    workspace: Some(record.id.to_string()),
                });
            }
        }
        Ok(processes)
    }
}
