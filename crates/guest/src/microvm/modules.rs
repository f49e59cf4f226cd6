//! The kernel's modules, as the initramfs has them.
//!
//! They come without their signatures where the kernel takes them so: checking one costs an
//! emulated machine more than loading it, and what the initramfs holds is pyro's own word already.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pyro_sys::{Context, Result};
use rustix::{io::Errno, system::init_module};

/// The end of a signed module's file.
const MARK: &[u8] = b"~Module signature appended~\n";
/// What the kernel calls `struct module_signature`: its last four bytes are the signature's length.
const ABOUT: usize = 12;

/// Loads them in the order of their names, and lets go of their files. One that the kernel has in
/// it, or that this processor or kernel has no use for, is not missed here: what it would have made
/// is.
pub(super) fn load_all(directory: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        let module = fs::read(&file).doing("read", file.display())?;
        match load(&module) {
            Ok(()) | Err(Errno::EXIST | Errno::NODEV | Errno::NOENT) => {}
            Err(errno) => return Err(errno).doing("load", file.display()),
        }
        let _ = fs::remove_file(&file);
    }
    Ok(())
}

fn load(module: &[u8]) -> rustix::io::Result<()> {
    let Some(bare) = without_signature(module) else { return init_module(module, c"") };
    match init_module(bare, c"") {
        // A kernel that insists.
        Err(Errno::KEYREJECTED | Errno::NOKEY | Errno::PERM) => init_module(module, c""),
        done => done,
    }
}

fn without_signature(module: &[u8]) -> Option<&[u8]> {
    let rest = module.strip_suffix(MARK)?;
    let (rest, about) = rest.split_at_checked(rest.len().checked_sub(ABOUT)?)?;
    let bytes = u32::from_be_bytes(*about.last_chunk()?);
    rest.get(..rest.len().checked_sub(usize::try_from(bytes).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(content: &[u8], signature: &[u8], length: u32) -> Vec<u8> {
        [content, signature, &[0; 8], &length.to_be_bytes(), MARK].concat()
    }

    #[test]
    fn only_a_whole_signature_is_left_out() {
        assert_eq!(without_signature(&signed(b"module", b"key", 3)), Some(&b"module"[..]));
        assert_eq!(without_signature(b"module"), None);
        assert_eq!(without_signature(MARK), None);
        assert_eq!(without_signature(&signed(b"module", b"key", 10)), None);
        assert_eq!(without_signature(&signed(b"module", b"key", u32::MAX)), None);
    }
}
