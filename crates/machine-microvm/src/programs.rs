//! Programs of the host that a microVM needs. They are looked for in the search path and in the
//! usual folders: some callers (the hosts of chat programs) cut the path short.

use std::path::{Path, PathBuf};

use pyro_machine::MachineError;

/// Where they are besides the search path.
const USUAL: [&str; 5] = ["/usr/bin", "/usr/sbin", "/sbin", "/bin", "/usr/local/bin"];

/// One of them: what it is called, and what is told when it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) check: &'static str,
    pub(crate) mend: &'static str,
}

/// Installs everything that a microVM needs on Debian and Ubuntu.
const INSTALL: &str = "sudo apt-get install -y qemu-system-x86 qemu-utils erofs-utils";

pub(crate) const QEMU: Program =
    Program { name: "qemu-system-x86_64", check: "qemu", mend: INSTALL };
pub(crate) const MKFS_EROFS: Program =
    Program { name: "mkfs.erofs", check: "erofs_utils", mend: INSTALL };
pub(crate) const MKE2FS: Program =
    Program { name: "mke2fs", check: "e2fsprogs", mend: "sudo apt-get install -y e2fsprogs" };

impl Program {
    /// Where it is, or the failure that names what mends its absence.
    pub(crate) fn find(self) -> Result<PathBuf, MachineError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
        self.find_in(folders.chain(USUAL.iter().map(PathBuf::from))).ok_or_else(|| {
            MachineError::HostUnfit {
                check: self.check,
                reason: format!("{} is not installed", self.name),
                mend: self.mend.to_owned(),
            }
        })
    }

    fn find_in(self, mut folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
        folders.find_map(|folder| {
            let file = folder.join(self.name);
            is_program(&file).then_some(file)
        })
    }
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn only_a_file_that_can_be_run_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(QEMU.name);
        let find = || QEMU.find_in(std::iter::once(folder.path().to_owned()));
        assert_eq!(find(), None);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(find(), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find(), Some(path));
    }
}
