//! How the bounds of a machine are kept: cgroups below the caller's own where they can be made,
//! else what is left, and an honest row for each.
//!
//! The cgroups go *below* the caller's (version 1) or beside it (version 2, where a cgroup with
//! processes cannot have bounded children), so a machine never escapes what bounds its creator.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pyro_machine::{Enforcement, Limits, Writable};
use pyro_protocol::launch::{Cgroup, Rlimits};
use rustix::fs::Access;

const MOUNT: &str = "/sys/fs/cgroup";
/// The launcher and the agent, on top of what the workload may have.
const OWN_PROCESSES: u64 = 2;
/// Files that one command may have open.
const OPEN_FILES: u64 = 65_536;
const CPU_PERIOD_US: u64 = 100_000;

/// Which kind of cgroups there are, and where a new one can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchy {
    /// Version 2: in this directory, with these controllers.
    Unified {
        /// Where.
        parent: PathBuf,
        /// Which.
        controllers: Vec<&'static str>,
    },
    /// Version 1: controllers, each with its directory.
    Split(Vec<(&'static str, PathBuf)>),
    /// None, and why.
    None(String),
}

/// The bounds of one machine, ready for the launcher.
#[derive(Debug)]
pub struct Bounds {
    /// Cgroups to make.
    pub cgroups: Vec<Cgroup>,
    /// What holds without them.
    pub rlimits: Rlimits,
    /// The bound, and the file that keeps it.
    kept: Vec<(&'static str, PathBuf)>,
    none: Option<String>,
    writable: Writable,
    limits: Limits,
}

/// The controllers that bounds need, with the name of the bound.
const CONTROLLERS: [(&str, &str); 3] =
    [("memory", "memory_mib"), ("pids", "processes"), ("cpu", "cpus")];

impl Hierarchy {
    /// What this process can use.
    #[must_use]
    pub fn find() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        if Path::new(MOUNT).join("cgroup.controllers").exists() {
            return unified(&own);
        }
        let found: Vec<_> = CONTROLLERS
            .iter()
            .filter_map(|(controller, _)| Some((*controller, split(&own, controller)?)))
            .collect();
        if found.is_empty() {
            return Self::None("no cgroup here can be written by this user".to_owned());
        }
        Self::Split(found)
    }
}

fn unified(own: &str) -> Hierarchy {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let own = Path::new(MOUNT).join(path);
    let start = if own.is_dir() { own } else { PathBuf::from(MOUNT) };
    for parent in start.ancestors().take_while(|path| path.starts_with(MOUNT)) {
        if !(writable(parent) && writable(&parent.join("cgroup.procs"))) {
            continue;
        }
        let controllers = delegate(parent);
        if controllers.contains(&"memory") {
            return Hierarchy::Unified { parent: parent.to_owned(), controllers };
        }
    }
    Hierarchy::None(
        "the caller's cgroup is not delegated to it; run pyro as \
         `systemd-run --user --scope -p Delegate=yes pyro ...`"
            .to_owned(),
    )
}

/// The controllers that children of `parent` have, after asking for those that are missing.
fn delegate(parent: &Path) -> Vec<&'static str> {
    let control = parent.join("cgroup.subtree_control");
    let read = || fs::read_to_string(&control).unwrap_or_default();
    let has = |text: &str, name: &str| text.split_ascii_whitespace().any(|word| word == name);
    let mut now = read();
    for (name, _) in CONTROLLERS {
        if !has(&now, name) {
            let _ = fs::write(&control, format!("+{name}"));
            now = read();
        }
    }
    CONTROLLERS.iter().map(|row| row.0).filter(|name| has(&now, name)).collect()
}

fn split(own: &str, controller: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (names, path) = rest.split_once(':')?;
        names.split(',').any(|name| name == controller).then_some(path)
    })?;
    let mount = Path::new(MOUNT).join(controller);
    let below = mount.join(path.trim_start_matches('/'));
    [below, mount].into_iter().find(|path| path.is_dir()).filter(|path| writable(path))
}

fn writable(path: &Path) -> bool {
    rustix::fs::access(path, Access::WRITE_OK).is_ok()
}

impl Bounds {
    /// Bounds for a machine called `name` in the hierarchy.
    #[must_use]
    pub fn plan(hierarchy: &Hierarchy, name: &str, limits: Limits, writable: Writable) -> Self {
        let name = format!("pyro-{name}");
        let mut bounds = Self {
            cgroups: Vec::new(),
            rlimits: Rlimits { processes: None, open_files: OPEN_FILES },
            kept: Vec::new(),
            none: None,
            writable,
            limits,
        };
        match hierarchy {
            Hierarchy::Unified { parent, controllers } => {
                let directory = parent.join(&name);
                let mut writes = Vec::new();
                for controller in controllers {
                    bounds.keep(controller, &directory, &mut writes, true);
                }
                bounds.cgroups.push(Cgroup { directory, unified: true, writes });
            }
            Hierarchy::Split(found) => {
                for (controller, parent) in found {
                    let directory = parent.join(&name);
                    let mut writes = Vec::new();
                    bounds.keep(controller, &directory, &mut writes, false);
                    bounds.cgroups.push(Cgroup { directory, unified: false, writes });
                }
            }
            Hierarchy::None(why) => bounds.none = Some(why.clone()),
        }
        if !bounds.kept.iter().any(|kept| kept.0 == "processes") {
            bounds.rlimits.processes = Some(limits.processes);
        }
        bounds
    }

    fn keep(
        &mut self,
        controller: &str,
        directory: &Path,
        writes: &mut Vec<(String, String)>,
        unified: bool,
    ) {
        let limits = self.limits;
        let memory = limits.memory_mib.saturating_mul(1 << 20).to_string();
        let quota = u64::from(limits.cpus).saturating_mul(CPU_PERIOD_US).to_string();
        let processes = limits.processes.saturating_add(OWN_PROCESSES).to_string();
        let (bound, file, all) = match (controller, unified) {
            ("memory", true) => (
                "memory_mib",
                "memory.max",
                vec![("memory.max", memory), ("memory.swap.max", "0".to_owned())],
            ),
            ("memory", false) => (
                "memory_mib",
                "memory.limit_in_bytes",
                vec![
                    ("memory.limit_in_bytes", memory.clone()),
                    ("memory.memsw.limit_in_bytes", memory),
                ],
            ),
            ("pids", _) => ("processes", "pids.max", vec![("pids.max", processes)]),
            ("cpu", true) => {
                ("cpus", "cpu.max", vec![("cpu.max", format!("{quota} {CPU_PERIOD_US}"))])
            }
            ("cpu", false) => (
                "cpus",
                "cpu.cfs_quota_us",
                vec![("cpu.cfs_period_us", CPU_PERIOD_US.to_string()), ("cpu.cfs_quota_us", quota)],
            ),
            _ => return,
        };
        self.kept.push((bound, directory.join(file)));
        writes.extend(all.into_iter().map(|(file, value)| (file.to_owned(), value)));
    }

    /// How each bound is kept, after the launcher said what refused.
    #[must_use]
    pub fn enforcement(&self, refused: &[(PathBuf, i32)]) -> Vec<Enforcement> {
        let mut rows = Vec::new();
        for limit in ["cpus", "memory_mib", "processes"] {
            let kept = self.kept.iter().find(|kept| kept.0 == limit).map(|kept| &kept.1);
            let broken = kept.and_then(|file| {
                let directory = file.parent()?;
                refused.iter().find(|(path, _)| {
                    path == file || path == directory || *path == directory.join("tasks")
                })
            });
            rows.push(match (kept, broken) {
                (Some(file), None) => {
                    Enforcement { limit, enforced: true, how: format!("cgroup {}", file.display()) }
                }
                (_, Some((path, errno))) => {
                    let why = std::io::Error::from_raw_os_error(*errno);
                    let how = format!("{} refused: {why}", path.display());
                    Enforcement { limit, enforced: false, how }
                }
                (None, None) => Enforcement { limit, enforced: false, how: self.without(limit) },
            });
        }
        rows.push(self.disk());
        rows
    }

    fn without(&self, limit: &str) -> String {
        let why = self.none.as_deref().unwrap_or("the caller's cgroup has no such controller");
        if limit == "processes" {
            return format!(
                "best effort, at most {} for each user id: {why}",
                self.limits.processes
            );
        }
        why.to_owned()
    }

    fn disk(&self) -> Enforcement {
        let limit = "disk_mib";
        match self.writable {
            Writable::Memory => {
                Enforcement { limit, enforced: true, how: "changes are kept in memory".to_owned() }
            }
            Writable::Disk => Enforcement {
                limit,
                enforced: false,
                how: "advisory: a floor of free space on the disk of the home".to_owned(),
            },
        }
    }
}

/// Removes cgroups that a killed launcher left. Only ours, whatever the text they come from says.
pub fn remove_left(cgroups: &[PathBuf]) {
    for cgroup in cgroups {
        let ours = cgroup.starts_with(MOUNT)
            && cgroup.components().all(|part| part != std::path::Component::ParentDir)
            && cgroup.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"pyro-"));
        if ours {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { cpus: 2, memory_mib: 512, disk_mib: None, processes: 100 };

    #[test]
    fn a_refusal_shows_in_the_row_of_its_bound() {
        let found = vec![("memory", PathBuf::from("/a")), ("pids", PathBuf::from("/b"))];
        let bounds = Bounds::plan(&Hierarchy::Split(found), "x", LIMITS, Writable::Disk);
        assert_eq!(bounds.rlimits.processes, None);
        let rows = bounds.enforcement(&[(PathBuf::from("/b/pyro-x/tasks"), 1)]);
        let row = |name| rows.iter().find(|row| row.limit == name).unwrap();
        assert!(row("memory_mib").enforced);
        assert!(!row("processes").enforced && row("processes").how.contains("refused"));
        assert!(!row("cpus").enforced && !row("disk_mib").enforced);
    }

    #[test]
    fn without_cgroups_processes_are_best_effort() {
        let bounds = Bounds::plan(&Hierarchy::None("no".into()), "x", LIMITS, Writable::Memory);
        assert_eq!(bounds.rlimits.processes, Some(100));
        assert!(bounds.cgroups.is_empty());
        assert!(
            bounds.enforcement(&[]).iter().all(|row| row.enforced == (row.limit == "disk_mib"))
        );
    }
}
