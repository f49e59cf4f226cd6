//! What a guest's kernel unpacks first: the agent as `/init`, and the modules that it loads.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use pyro_launcher::{agent, failure};
use pyro_machine::MachineError;
use pyro_sys::{Context, SysError};
use sha2::{Digest, Sha256};

use crate::{Kernel, cpio::Archive, once::once, place::Place, template::hexadecimal};

/// A module is read no further.
const MAX_MODULE: u64 = 64 << 20;
/// Changes when an archive of the same parts is made in another way.
const FORMAT: &str = "pyro initramfs 1";

/// Names the archive of this build's agent and that kernel's modules.
pub(crate) fn key(kernel: &Kernel) -> String {
    let mut hash = Sha256::new();
    for part in [FORMAT, agent::HASH, &kernel.release, &kernel.digest] {
        hash.update(part);
        hash.update([0]);
    }
    hexadecimal(&hash.finalize())[..32].to_owned()
}

/// The archive, made when it is missing.
pub(crate) fn initramfs(place: &Place, kernel: &Kernel) -> Result<PathBuf, MachineError> {
    let path = place.initramfs(&key(kernel));
    once(&path, |part| {
        fs::write(part, build(kernel)?).doing("write", part.display()).map_err(failure)
    })?;
    Ok(path)
}

fn build(kernel: &Kernel) -> Result<Vec<u8>, MachineError> {
    let mut archive = Archive::default();
    for name in ["dev", "modules", "proc", "sys"] {
        archive.directory(name);
    }
    archive.program("init", agent::PROGRAM);
    for (number, module) in kernel.modules.iter().enumerate() {
        let name = module.file_name().and_then(|name| name.to_str()).unwrap_or("module.ko");
        archive.file(&format!("modules/{number:02}-{name}"), &read(module)?);
    }
    Ok(archive.finish())
}

fn read(module: &Path) -> Result<Vec<u8>, MachineError> {
    let mut bytes = Vec::new();
    File::open(module)
        .and_then(|file| file.take(MAX_MODULE + 1).read_to_end(&mut bytes))
        .doing("read", module.display())
        .map_err(failure)?;
    if bytes.len() as u64 > MAX_MODULE {
        let why = SysError::invalid("read", &module.display(), "it is too long for a module");
        return Err(failure(why));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_follows_the_kernel_and_the_modules_keep_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path().join("microvm")).unwrap();
        let names = ["z.ko", "a.ko"];
        for name in names {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let mut kernel = Kernel {
            image: "/vmlinuz".into(),
            modules: names.map(|name| folder.path().join(name)).to_vec(),
            release: "6.1".into(),
            digest: "d".into(),
        };
        let first = initramfs(&place, &kernel).unwrap();
        let bytes = fs::read(&first).unwrap();
        let find = |name: &str| bytes.windows(name.len()).position(|part| part == name.as_bytes());
        assert!(find("modules/00-z.ko").unwrap() < find("modules/01-a.ko").unwrap());
        kernel.digest = "other".into();
        assert_ne!(initramfs(&place, &kernel).unwrap(), first);
    }
}
