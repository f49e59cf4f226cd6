//! Templates: a VM that was booted once, stopped while it waited to be awakened, and saved. Every
//! start goes on from there, with disks, names and randomness of its own. Its disk is mounted: a
//! fresh workspace's begins as a copy of it, and nothing refers to the template afterwards.
//!
//! ```text
//! templates/KEY/ram         its memory, sparse; nobody writes it
//! templates/KEY/state       its processors and devices; likewise
//! templates/KEY/disk        what it has written to its disk, over the blank one; likewise
//! templates/KEY/facts.json  what it was made of: KEY is their hash
//! templates/KEY/used        its time is that of the last start; held shared during one
//! ```
//!
//! Made beside (`KEY.part`) and renamed in; of two makers at once, one works.

mod collect;
mod facts;
mod make;

pub use collect::Collected;
pub(crate) use facts::Facts;
pub(crate) use make::discard;

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use pyro_machine::{Cancel, MachineError, MachineSpec};
use rustix::fs::{FlockOperation, flock};

use crate::{blank, disk, image, once, qemu, session::Host};

const RAM: &str = "ram";
const STATE: &str = "state";
const MOUNTED: &str = "disk";
const FACTS: &str = "facts.json";
const USED: &str = "used";
/// How long a template is taken to be as it was written.
const YOUNG: Duration = Duration::from_secs(3_600);

/// What a template is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The environment's layer.
    pub environment: PathBuf,
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub memory_mib: u64,
    /// The disk's limit.
    pub disk_mib: Option<u64>,
}

/// Whether a start would be quick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateState {
    /// There is one.
    Warm,
    /// There was never one of that environment and size.
    Cold,
    /// There is one that can no longer be used.
    Stale {
        /// What changed.
        reason: String,
    },
}

/// A template that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTemplate {
    why: String,
    took: Duration,
    boot: Duration,
}

impl NewTemplate {
    /// For whoever waited for it.
    #[must_use]
    pub fn notice(&self) -> String {
        let took = self.took.as_secs_f64();
        format!("{} ({took:.1} s); later starts take a fraction of a second", self.why)
    }

    /// From QEMU's start to the moment at which the guest waits: a cold boot.
    #[must_use]
    pub fn boot(&self) -> Duration {
        self.boot
    }
}

/// A template in use: it is not collected before this goes.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) ram: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) disk: PathBuf,
    _used: File,
}

impl Shape {
    /// Of the machine that a spec asks for.
    pub(crate) fn of(spec: &MachineSpec) -> Result<Self, MachineError> {
        let [environment] = spec.root_lowers.as_slice() else {
            return Err(MachineError::Unsupported {
                operation: "start a microVM",
                reason: format!("its environment has {} layers", spec.root_lowers.len()),
                instead: "an environment of one layer, or the container machine".to_owned(),
            });
        };
        Ok(Self {
            environment: environment.clone(),
            cpus: spec.limits.cpus.max(1),
            memory_mib: spec.limits.memory_mib,
            disk_mib: Some(disk::size_in(&spec.directory, spec.limits)?),
        })
    }
}

impl Host {
    /// What the template of such a machine is made of; makes the environment's image and the blank
    /// disk.
    pub(crate) fn facts(&self, shape: &Shape) -> Result<Facts, MachineError> {
        let kernel = self.kernel()?;
        let qemu = qemu::find(&self.place)?;
        image::prepare(&self.agent, &self.ids, &shape.environment)?;
        let blank = blank::blank(&self.place, disk::size(shape.disk_mib)?)?;
        Facts::of(shape, kernel, &qemu, self.accelerator(), blank::id_of(&blank)?)
    }

    /// Whether there is a template for it, without making anything but what
    /// `facts` makes.
    pub(crate) fn state(&self, shape: &Shape) -> Result<TemplateState, MachineError> {
        let now = self.facts(shape)?;
        if self.directory(&now.key()).join(FACTS).is_file() {
            return Ok(TemplateState::Warm);
        }
        let others = fs::read_dir(self.place.templates()).into_iter().flatten().flatten();
        let stale = others
            .filter_map(|entry| Facts::read(&entry.path().join(FACTS)))
            .find(|was| was.serves_as(&now));
        Ok(stale.map_or(TemplateState::Cold, |was| TemplateState::Stale {
            reason: was.changed(&now).to_owned(),
        }))
    }

    /// The template with these facts, made when it is missing, which is told then.
    pub(crate) fn template(
        &self,
        shape: &Shape,
        facts: &Facts,
        progress: &mut dyn FnMut(&str),
        cancel: Option<&Cancel>,
    ) -> Result<(Held, Option<NewTemplate>), MachineError> {
        if let Some(held) = self.hold(&facts.key()) {
            return Ok((held, None));
        }
        let why = match self.state(shape)? {
            TemplateState::Stale { reason } => {
                format!("the template was made anew, since {reason}")
            }
            _ => "a template was made of this environment in this size".to_owned(),
        };
        let began = Instant::now();
        let (held, boot) = self.make(shape, facts, progress, cancel)?;
        let took = began.elapsed();
        Ok((held, boot.map(|boot| NewTemplate { why, took, boot })))
    }

    fn directory(&self, key: &str) -> PathBuf {
        self.place.templates().join(key)
    }

    /// Whether it was made not long ago, so that its files are as they were written.
    pub(crate) fn is_young(&self, key: &str) -> bool {
        let made = fs::metadata(self.directory(key).join(STATE)).and_then(|found| found.modified());
        made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age < YOUNG))
    }

    /// The template of that name for a start; `None` when there is none.
    pub(crate) fn hold(&self, key: &str) -> Option<Held> {
        let directory = self.directory(key);
        let used = directory.join(USED);
        let file = OpenOptions::new().read(true).write(true).open(&used).ok()?;
        flock(&file, FlockOperation::LockShared).ok()?;
        // The collector may have had it before.
        if !once::is_at(&file, &used) {
            return None;
        }
        let _ = file.set_modified(SystemTime::now());
        let [ram, state, disk] = [RAM, STATE, MOUNTED].map(|name| directory.join(name));
        Some(Held { ram, state, disk, _used: file })
    }
}

/// In hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a template's facts are.
fn facts_of(directory: &Path) -> Option<Facts> {
    Facts::read(&directory.join(FACTS))
}
