//! The host's own kernel and modules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::record::read_bounded;
use super::{Gathered, KernelError, KernelFrom, Result, file, image, modules};

/// The most of one of the lists beside the modules that is read.
const LIST_MOST: u64 = 16 << 20;

/// As `uname -r` says.
pub(super) fn running_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Reads the kernel of that release below `root`.
pub(super) fn gather(root: &Path, release: &str) -> Result<Gathered> {
    if !image::is_release(release.as_bytes()) {
        return Err(KernelError::unusable(root, format!("its release is `{release}`")));
    }
    let path = root.join(format!("boot/vmlinuz-{release}"));
    let image = match read_bounded(&path, image::IMAGE_MOST) {
        Ok(image) => image,
        Err(KernelError::Io { source, .. }) => {
            return Err(KernelError::unusable(
                &path,
                match source.kind() {
                    std::io::ErrorKind::PermissionDenied => {
                        "only root may read it; `sudo cp` it to a place of yours, with the mode 0644"
                            .to_owned()
                    }
                    std::io::ErrorKind::NotFound => "this host has no image of its kernel".to_owned(),
                    _ => source.to_string(),
                },
            ));
        }
        Err(other) => return Err(other),
    };
    image::release(&image, &path.display().to_string())?;
    let folder = root.join("lib/modules").join(release);
    let list = |name: &str| -> Result<String> {
        let path = folder.join(name);
        let text = read_bounded(&path, LIST_MOST)
            .map_err(|e| KernelError::unusable(&path, format!("its list cannot be read: {e}")))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    let builtin = modules::builtin(&list("modules.builtin")?);
    let places = places(&list("modules.order")?);
    let mut found = BTreeMap::new();
    loop {
        let missing = modules::missing(&found, Some(&builtin));
        let files: Vec<PathBuf> =
            missing.iter().filter_map(|name| on_disk(&folder, places.get(name)?)).collect();
        if files.is_empty() {
            break;
        }
        found.extend(file::read(files.into_iter())?);
        if found.len() > modules::MODULES_MOST {
            return Err(KernelError::unusable(&folder, "its modules depend on too many others"));
        }
    }
    Ok(Gathered { image, modules: found, builtin: Some(builtin), from: KernelFrom::Host { path } })
}

/// Where each module lies, by `modules.order`.
fn places(text: &str) -> BTreeMap<String, String> {
    let plain = |line: &&str| {
        Path::new(line).components().all(|part| matches!(part, std::path::Component::Normal(_)))
    };
    text.lines()
        .filter(plain)
        .filter_map(|line| Some((modules::name_of(line.rsplit('/').next()?)?, line.to_owned())))
        .collect()
}

/// The list names modules before they were packed.
fn on_disk(folder: &Path, place: &str) -> Option<PathBuf> {
    ["", ".zst", ".xz"].iter().map(|end| folder.join(format!("{place}{end}"))).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn host(release: &str) -> tempfile::TempDir {
        let room = tempfile::tempdir().unwrap();
        let folder = room.path().join("lib/modules").join(release);
        fs::create_dir_all(folder.join("kernel/fs")).unwrap();
        fs::create_dir_all(room.path().join("boot")).unwrap();
        fs::write(room.path().join(format!("boot/vmlinuz-{release}")), image::made_up(release))
            .unwrap();
        let builtin = "kernel/a/virtio_mmio.ko\nkernel/a/virtio_console.ko\nkernel/a/virtio_blk.ko\n\
                       kernel/a/ext4.ko\nkernel/a/overlay.ko\n";
        fs::write(folder.join("modules.builtin"), builtin).unwrap();
        let order = "kernel/fs/erofs.ko\nkernel/fs/netfs.ko\n../../escape/erofs.ko\n";
        fs::write(folder.join("modules.order"), order).unwrap();
        let module = modules::made_up("netfs", release);
        fs::write(folder.join("kernel/fs/erofs.ko.zst"), zstd::encode_all(&module[..], 1).unwrap())
            .unwrap();
        fs::write(folder.join("kernel/fs/netfs.ko"), modules::made_up("", release)).unwrap();
        room
    }

    #[test]
    fn what_modules_depend_on_comes_along() {
        let room = host("6.8.0-31-generic");
        let gathered = gather(room.path(), "6.8.0-31-generic").unwrap();
        let names: Vec<_> = gathered.modules.keys().collect();
        assert_eq!(names, ["erofs", "netfs"]);
    }

    #[test]
    fn a_host_without_a_readable_kernel_says_so() {
        let room = host("6.8.0-31-generic");
        let error = gather(room.path(), "6.9.0").unwrap_err();
        assert!(error.to_string().contains("no image of its kernel"), "{error}");
        assert!(error.hint().unwrap().contains("--kernel PATH"));
        assert!(gather(room.path(), "../6").is_err());
        fs::write(room.path().join("boot/vmlinuz-6.8.0-31-generic"), "no kernel").unwrap();
        assert!(gather(room.path(), "6.8.0-31-generic").is_err());
    }
}
