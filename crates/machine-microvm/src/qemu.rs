//! Which QEMU there is: its program's identity and its version, asked once and remembered for as
//! long as the program is the same.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use pyro_launcher::failure;
use pyro_machine::MachineError;
use pyro_sys::Context;
use serde::{Deserialize, Serialize};

use crate::{once::replace, place::Place, programs};

/// The oldest QEMU whose devices and migration are known to do.
const OLDEST: (u32, u32) = (6, 2);

/// A file, as far as its bytes can be told from others' without reading them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) path: PathBuf,
    bytes: u64,
    modified_ns: i128,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(path: &Path) -> Result<Self, MachineError> {
        let found = fs::metadata(path).doing("look at", path.display()).map_err(failure)?;
        Ok(Self {
            path: path.to_owned(),
            bytes: found.size(),
            modified_ns: i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec()),
            inode: found.ino(),
        })
    }
}

/// QEMU's program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Qemu {
    pub(crate) program: Identity,
    /// Major and minor.
    pub(crate) version: (u32, u32),
    /// As it says it.
    pub(crate) says: String,
}

/// The host's QEMU.
pub(crate) fn find(place: &Place) -> Result<Qemu, MachineError> {
    let program = Identity::of(&programs::QEMU.find()?)?;
    let record = place.qemu();
    if let Some(known) = fs::read(&record).ok().and_then(|text| recorded(&text))
        && known.program == program
    {
        return Ok(known);
    }
    let qemu = ask(program)?;
    let text = serde_json::to_vec(&qemu).map_err(io::Error::other);
    replace(&record, &text.doing("describe", "QEMU").map_err(failure)?)?;
    Ok(qemu)
}

fn recorded(text: &[u8]) -> Option<Qemu> {
    serde_json::from_slice(text).ok()
}

fn ask(program: Identity) -> Result<Qemu, MachineError> {
    let output = Command::new(&program.path)
        .env_clear()
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .doing("start", program.path.display())
        .map_err(failure)?;
    let says = String::from_utf8_lossy(&output.stdout);
    let says: String = says.lines().next().unwrap_or_default().chars().take(200).collect();
    let unfit = |reason: String| MachineError::HostUnfit {
        check: programs::QEMU.check,
        reason,
        mend: programs::QEMU.mend.to_owned(),
    };
    let version = version(&says)
        .ok_or_else(|| unfit(format!("{} says no version", program.path.display())))?;
    if version < OLDEST {
        return Err(unfit(format!("{says} is older than {}.{}", OLDEST.0, OLDEST.1)));
    }
    Ok(Qemu { program, version, says })
}

/// From `QEMU emulator version 7.2.22 (Debian ...)`.
fn version(says: &str) -> Option<(u32, u32)> {
    let (_, rest) = says.split_once("version ")?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2)"), Some((7, 2)));
        assert_eq!(version("QEMU emulator version 10.0.2"), Some((10, 0)));
        assert_eq!(version("something else"), None);
        assert_eq!(version("version x"), None);
    }
}
