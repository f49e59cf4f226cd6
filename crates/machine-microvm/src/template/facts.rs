//! What a template was made of. Any difference makes it another template.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use pyro_launcher::failure;
use pyro_machine::{MachineError, image_of};
use pyro_protocol::vm::{Accelerator, SEED_DISK_BYTES, SEED_DISKS};
use pyro_sys::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Shape, hexadecimal};
use crate::{
    Kernel, disk, initramfs,
    qemu::{Identity, Qemu},
};

/// Changes when the same parts make another template.
const FORMAT: u32 = 2;
/// The head of an image holds its random id.
const HEAD: u64 = 4096;
/// Facts are read no further.
const MAX_TEXT: u64 = 64 << 10;

/// All inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    format: u32,
    pub(crate) kernel: String,
    pub(crate) initramfs: String,
    pub(crate) environment: Identity,
    environment_head: String,
    pub(crate) cpus: u32,
    pub(crate) memory_mib: u64,
    pub(crate) disk_mib: u64,
    /// The id of the blank disk that the template's stands on.
    blank: String,
    pub(crate) qemu: Qemu,
    accelerator: Accelerator,
    processor: Option<String>,
    seed_disks: (usize, u64),
}

impl Facts {
    /// Of the template that such a machine needs. The image of its environment is there.
    pub(crate) fn of(
        shape: &Shape,
        kernel: &Kernel,
        qemu: &Qemu,
        accelerator: Accelerator,
        blank: String,
    ) -> Result<Self, MachineError> {
        let image = image_of(&shape.environment);
        Ok(Self {
            format: FORMAT,
            kernel: kernel.digest.clone(),
            initramfs: initramfs::key(kernel),
            environment: Identity::of(&image)?,
            environment_head: head(&image)?,
            cpus: shape.cpus,
            memory_mib: shape.memory_mib,
            disk_mib: disk::size(shape.disk_mib)?,
            blank,
            qemu: qemu.clone(),
            accelerator,
            processor: (accelerator == Accelerator::Kvm).then(processor),
            seed_disks: (SEED_DISKS, SEED_DISK_BYTES),
        })
    }

    /// Reads those of a template.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let mut text = Vec::new();
        File::open(path).ok()?.take(MAX_TEXT).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// As they are written down.
    pub(crate) fn text(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// The template's name.
    pub(crate) fn key(&self) -> String {
        hexadecimal(&Sha256::digest(self.text()))[..32].to_owned()
    }

    /// Whether both serve the same wish: the same environment in the same size.
    pub(crate) fn serves_as(&self, other: &Self) -> bool {
        self.environment.path == other.environment.path
            && self.cpus == other.cpus
            && self.memory_mib == other.memory_mib
            && self.disk_mib == other.disk_mib
    }

    /// What is no longer as it was, in words.
    pub(crate) fn changed(&self, now: &Self) -> &'static str {
        if self.environment != now.environment || self.environment_head != now.environment_head {
            "the environment changed"
        } else if self.kernel != now.kernel {
            "the guest's kernel changed"
        } else if self.initramfs != now.initramfs || self.format != now.format {
            "it was made by another pyro"
        } else if self.qemu != now.qemu {
            "QEMU changed"
        } else if self.accelerator != now.accelerator {
            "KVM works now, or no longer"
        } else if self.blank != now.blank {
            "the blank disk changed"
        } else {
            "the host's processor changed"
        }
    }

    /// Whether a machine of today could still start from it. What cannot be looked at counts as
    /// gone.
    pub(crate) fn all_there(&self, kernel: Option<&Kernel>) -> bool {
        let same = |was: &Identity| Identity::of(&was.path).is_ok_and(|now| now == *was);
        same(&self.environment)
            && same(&self.qemu.program)
            && self.format == FORMAT
            && kernel.is_none_or(|kernel| {
                kernel.digest == self.kernel && initramfs::key(kernel) == self.initramfs
            })
    }
}

fn head(image: &Path) -> Result<String, MachineError> {
    let mut bytes = Vec::new();
    File::open(image)
        .and_then(|file| file.take(HEAD).read_to_end(&mut bytes))
        .doing("read", image.display())
        .map_err(failure)?;
    Ok(hexadecimal(&Sha256::digest(&bytes)))
}

/// The host's processor as its guests see it: a state saved on one may not run on another.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let first = text.split("\n\n").next().unwrap_or_default();
    let kept = first.lines().filter(|line| {
        ["vendor_id", "cpu family", "model", "stepping", "flags"]
            .iter()
            .any(|name| line.starts_with(name))
    });
    hexadecimal(&Sha256::digest(kept.collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(folder: &Path) -> Facts {
        let environment = folder.join("rootfs");
        fs::write(image_of(&environment), "an image").unwrap();
        let kernel = Kernel {
            image: "/k".into(),
            modules: Vec::new(),
            release: "6.1".into(),
            digest: "digest".into(),
        };
        let program = Identity::of(Path::new("/proc/self/exe")).unwrap();
        let qemu = Qemu { program, version: (7, 2), says: "QEMU".into() };
        let shape = Shape { environment, cpus: 2, memory_mib: 512, disk_mib: None };
        Facts::of(&shape, &kernel, &qemu, Accelerator::Tcg, "id".to_owned()).unwrap()
    }

    #[test]
    fn every_input_is_part_of_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let facts = facts(folder.path());
        let mut text: serde_json::Value = serde_json::from_slice(&facts.text()).unwrap();
        let names: Vec<String> = text.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names.len(), 13);
        // Each is in the text that the key is made of, and the text is read back as the same.
        assert_eq!(serde_json::from_value::<Facts>(text.clone()).unwrap().key(), facts.key());
        for name in ["cpus", "memory_mib", "disk_mib"] {
            let was = text[name].clone();
            text[name] = serde_json::json!(7);
            let other: Facts = serde_json::from_value(text.clone()).unwrap();
            assert!(other.key() != facts.key() && !other.serves_as(&facts), "{name}");
            text[name] = was;
        }
        fs::write(&facts.environment.path, "another image").unwrap();
        assert!(!facts.all_there(None));
    }

    proptest! {
        #[test]
        fn sizes_have_keys_of_their_own(cpus in 1_u32..64, memory in 64_u64..65_536) {
            let folder = tempfile::tempdir().unwrap();
            let facts = facts(folder.path());
            let other = Facts { cpus, memory_mib: memory, ..facts.clone() };
            prop_assert_eq!(other.key() == facts.key(), (cpus, memory) == (2, 512));
        }
    }

    #[test]
    fn what_changed_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let was = facts(folder.path());
        let mut now = was.clone();
        now.accelerator = Accelerator::Kvm;
        assert!(was.changed(&now).contains("KVM"));
        now.kernel = "other".into();
        assert!(was.changed(&now).contains("kernel"));
        now.environment_head = "other".into();
        assert!(was.changed(&now).contains("environment"));
        assert!(now.serves_as(&was));
    }
}
