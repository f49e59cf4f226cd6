//! A kernel of the caller's: an image, and beside it `PATH.modules/` with what is not built in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::record::read_bounded;
use super::{Gathered, KernelError, KernelFrom, Result, image, modules};

/// Reads it.
pub(super) fn gather(path: &Path) -> Result<Gathered> {
    let image = read_bounded(path, image::IMAGE_MOST).map_err(|error| match error {
        KernelError::Io { source, .. } => KernelError::unusable(path, source.to_string()),
        other => other,
    })?;
    image::release(&image, &path.display().to_string())?;
    let mut folder = path.as_os_str().to_owned();
    folder.push(".modules");
    let modules = match std::fs::read_dir(&folder) {
        Ok(entries) => {
            let files = entries.flatten().map(|entry| entry.path());
            read(files)?
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(e) => return Err(KernelError::io("read", Path::new(&folder), e)),
    };
    Ok(Gathered { image, modules, builtin: None, from: KernelFrom::File { path: path.to_owned() } })
}

/// Reads module files; others are passed over.
pub(super) fn read(files: impl Iterator<Item = PathBuf>) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for path in files {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // Also as they are called where pyro keeps them.
        let plain = file.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches('-');
        let Some(name) = modules::name_of(plain) else { continue };
        if found.len() == modules::MODULES_MOST {
            return Err(KernelError::unusable(&path, "there are too many modules beside it"));
        }
        let packed = read_bounded(&path, modules::MODULE_MOST)?;
        found.insert(name, modules::unpacked(file, packed)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let room = tempfile::tempdir().unwrap();
        let pipe = |path: &Path| {
            mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        };
        let image = room.path().join("vmlinuz");
        pipe(&image);
        for path in [&image, Path::new("/dev/zero"), room.path()] {
            let error = gather(path).unwrap_err().to_string();
            assert!(error.contains("it is no file"), "{error}");
        }
        std::fs::remove_file(&image).unwrap();
        std::fs::write(&image, image::made_up("6.1")).unwrap();
        std::fs::create_dir(room.path().join("vmlinuz.modules")).unwrap();
        pipe(&room.path().join("vmlinuz.modules/erofs.ko"));
        assert!(gather(&image).unwrap_err().to_string().contains("it is no file"));
    }
}
