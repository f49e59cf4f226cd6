//! What the doctor says about microVMs, and what is collected of them.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use pyro_machine::{Check, image_of};
use pyro_machine_microvm::{Shape, TemplateState, checks};
use pyro_model::{MachineKind, limits};
use pyro_store::Record;

use crate::{
    Engine,
    choice::MICROVM_ENVIRONMENT,
    environment::in_words,
    failure::OrFail,
    microvm::{INSTALL, KERNEL, QEMU, program_of_host},
    workspace::all_but_one,
};

/// How long what nobody starts from is kept.
const KEEP: Duration = Duration::from_secs(7 * 86_400);
/// How often calls look for it on the way.
const SELDOM: Duration = Duration::from_secs(6 * 3_600);

const NEEDED_FOR: &str = "microVMs";

impl Engine {
    /// The doctor's rows. `quick` boots no guest.
    pub(super) fn microvm_checks(&self, quick: bool) -> Vec<Check> {
        let row = |name, ok, found: String, mend: &str| Check {
            name,
            ok,
            found,
            needed_for: NEEDED_FOR,
            mend: mend.to_owned(),
        };
        // One thing to mend, not five.
        let Some(qemu) = program_of_host(QEMU) else {
            return vec![row("qemu", false, "not installed".to_owned(), INSTALL)];
        };
        let kernel = match self.kernels().and_then(|kernels| kernels.current().or_fail()) {
            Ok(Some(kernel)) => row(KERNEL, true, in_words(&kernel), ""),
            Ok(None) => row(KERNEL, false, "none yet".to_owned(), "pyro env pull debian:12"),
            Err(failure) => row(KERNEL, false, failure.message, "pyro env pull debian:12"),
        };
        if quick || !kernel.ok {
            return vec![row("qemu", true, qemu.display().to_string(), ""), kernel];
        }
        match self.microvm() {
            Ok(machine) => {
                let mut rows = checks(&machine, false);
                for known in rows.iter_mut().filter(|known| known.name == KERNEL && known.ok) {
                    known.found.clone_from(&kernel.found);
                }
                rows.extend(self.template_check());
                rows
            }
            Err(failure) => vec![kernel, row("microvm", false, failure.message, "")],
        }
    }

    /// Whether the first microVM would be quick; nothing to mend either way.
    fn template_check(&self) -> Option<Check> {
        let name = self.settings().config.environment.as_deref();
        let name = name.filter(|name| *name != crate::environment::HOST);
        let name = name.unwrap_or(MICROVM_ENVIRONMENT);
        let installed = self.environments().ok()?.resolve(&name.parse().ok()?).ok()?;
        // Looking must not make the image.
        let state = if image_of(&installed.rootfs).exists() {
            let config = &self.settings().config;
            let shape = Shape {
                environment: installed.rootfs,
                cpus: config.cpus.unwrap_or_else(all_but_one),
                memory_mib: config.memory_mib.unwrap_or(limits::MICROVM_MEMORY_MIB),
                disk_mib: None,
            };
            self.microvm().ok()?.template_state(&shape).ok()?
        } else {
            TemplateState::Cold
        };
        let found = match state {
            TemplateState::Warm => format!("{name}: warm"),
            TemplateState::Cold => {
                format!("{name}: cold; `pyro prepare {name} --machine microvm` makes it")
            }
            TemplateState::Stale { reason } => format!(
                "{name}: stale, since {reason}; `pyro prepare {name} --machine microvm` renews it"
            ),
        };
        let needed_for = "the first microVM of an environment without a wait";
        Some(Check { name: "template", ok: true, found, needed_for, mend: String::new() })
    }

    /// Removes kernels and templates that nothing starts from any more, once in a while.
    pub(crate) fn collect_microvm_now_and_then(&self) {
        let marker = self.layout().microvm().join("collected");
        let age = fs::metadata(&marker).and_then(|facts| facts.modified()).map(|at| at.elapsed());
        match age {
            Ok(Ok(age)) if age < SELDOM => {}
            // Without kernels there is nothing of the kind.
            _ if !self.layout().microvm().join("kernel").exists() => {}
            _ => {
                let touched = File::create(&marker).and_then(|f| f.set_modified(SystemTime::now()));
                if touched.is_ok() {
                    self.collect_microvm();
                }
            }
        }
    }

    /// Removes kernels that are not in use, and templates that no start used for long. What
    /// cannot be removed now stays for the next time.
    pub(crate) fn collect_microvm(&self) {
        if !self.layout().microvm().join("kernel").exists() {
            return;
        }
        if let Ok(machine) = self.microvm() {
            let _ = machine.collect(KEEP);
        }
        if let Ok(kernels) = self.kernels() {
            let _ = kernels.collect();
        }
    }

    /// What the template takes on disk that was used last.
    pub(super) fn newest_template_bytes(&self) -> Option<u64> {
        let templates = fs::read_dir(self.layout().microvm().join("templates")).ok()?;
        let used = |path: &Path| fs::metadata(path.join("used")).and_then(|facts| facts.modified());
        let newest = templates
            .flatten()
            .filter_map(|entry| Some((used(&entry.path()).ok()?, entry.path())))
            .max_by_key(|(at, _)| *at)?;
        let files = fs::read_dir(newest.1).ok()?.flatten();
        Some(files.filter_map(|file| Some(file.metadata().ok()?.blocks() * 512)).sum())
    }

    /// The processes of a workspace's machine, with what each is for.
    pub(super) fn processes_of(&self, record: &Record) -> Vec<(u32, &'static str)> {
        let directory = self.layout().workspace(&record.id);
        let found = match record.machine {
            MachineKind::Container => {
                let holder = self.container().ok().and_then(|machine| machine.holder(&directory));
                [holder.map(|pid| (pid, "holds the machine of a workspace")), None]
            }
            MachineKind::Microvm => {
                let Ok(machine) = self.any_microvm() else { return Vec::new() };
                [
                    machine
                        .holder(&directory)
                        .map(|pid| (pid, "watches the microVM of a workspace")),
                    machine.qemu(&directory).map(|pid| (pid, "QEMU, the microVM of a workspace")),
                ]
            }
        };
        found.into_iter().flatten().collect()
    }
}
