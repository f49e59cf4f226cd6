//! Installing: one call builds, the others wait and take its result.
//!
//! Lock; done if it is there, whole, and from the wished source; gather from the first source that
//! works; write and sync below `.building-`; one rename to the digest's place (an exchange where a
//! damaged kernel of that digest is); one rename of the pointer.

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::record::{IMAGE, MODULES, Part, Record};
use super::{
    Gathered, InstalledKernel, KernelCache, KernelError, KernelOptions, KernelSource, PulledKernel,
    Result, debian, file, host, image, modules,
};
use crate::crash;
use crate::digest::Digest;
use crate::progress::{Progress, ProgressSink, Stage};

const BUILDING: &str = ".building-";

type Gather<'g> = dyn FnMut(&KernelSource, &Path, &mut ProgressSink<'_>) -> Result<Gathered> + 'g;

impl KernelCache {
    /// Makes sure that a kernel is installed and whole (it is read whole for that), repairing or
    /// getting it where it is not.
    pub fn pull(
        &self,
        options: &KernelOptions,
        progress: &mut ProgressSink<'_>,
    ) -> Result<PulledKernel> {
        self.pull_by(options, progress, &mut |source, room, progress| match source {
            KernelSource::Debian => {
                debian::gather(options.debian_mirror.as_deref(), room, progress)
            }
            KernelSource::Host => host::gather(Path::new("/"), &host::running_release()),
            KernelSource::File(path) => file::gather(path),
        })
    }

    pub(super) fn pull_by(
        &self,
        options: &KernelOptions,
        progress: &mut ProgressSink<'_>,
        gather: &mut Gather<'_>,
    ) -> Result<PulledKernel> {
        let (lock, waited) = self.lock(progress)?;
        let before = self.current();
        let mut repaired = matches!(before, Err(KernelError::Damaged { .. }));
        let wished = |kernel: &InstalledKernel| {
            options.source.as_ref().is_none_or(|source| kernel.from.fits(source))
        };
        if let Ok(Some(kernel)) = before
            && wished(&kernel)
            && (!options.force || waited)
        {
            progress(Progress::at(Stage::Verifying, format!("checking kernel {}", kernel.release)));
            match self.check(&kernel.digest) {
                Ok(()) => {
                    return Ok(PulledKernel {
                        kernel,
                        already_installed: true,
                        repaired: false,
                        passed_over: Vec::new(),
                    });
                }
                Err(KernelError::Damaged { .. }) => repaired = true,
                Err(other) => return Err(other),
            }
        }
        self.sweep()?;
        let building = Building::begin(&self.root)?;
        let sources = match &options.source {
            Some(source) => vec![source.clone()],
            None => vec![KernelSource::Debian, KernelSource::Host],
        };
        let (gathered, passed_over) = first_that_works(&sources, &building.0, progress, gather)?;
        crash::point("kernel gathered");
        progress(Progress::at(Stage::Installing, "installing the kernel"));
        let digest = self.commit(&building, gathered, &lock)?;
        let kernel = self.resolve(&digest)?;
        Ok(PulledKernel { kernel, already_installed: false, repaired, passed_over })
    }

    fn lock(&self, progress: &mut ProgressSink<'_>) -> Result<(File, bool)> {
        let path = self.root.join(".lock");
        let file = crate::cache::open_lock(&path)?;
        let waited = match file.try_lock() {
            Ok(()) => false,
            Err(std::fs::TryLockError::WouldBlock) => {
                progress(Progress::at(Stage::Waiting, "another call is getting the kernel"));
                file.lock().map_err(|e| KernelError::io("lock", &path, e))?;
                true
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(KernelError::io("lock", &path, e)),
        };
        Ok((file, waited))
    }

    /// Reads the whole kernel.
    fn check(&self, digest: &Digest) -> Result<()> {
        let place = self.place(digest);
        Record::read(&place, digest)?.check_content(&place)
    }

    fn commit(&self, building: &Building, gathered: Gathered, lock: &File) -> Result<Digest> {
        let record = building.write(gathered)?;
        let failed = |e| KernelError::io("sync", &building.0, e);
        // After a power failure the rename must not be there without the files.
        rustix::fs::syncfs(lock).map_err(failed)?;
        crash::point("kernel written");
        let place = self.place(&record.digest);
        let flags = match place.exists() {
            true if self.check(&record.digest).is_ok() => None,
            true => Some(RenameFlags::EXCHANGE),
            false => Some(RenameFlags::NOREPLACE),
        };
        if let Some(flags) = flags {
            renameat_with(CWD, &building.0, CWD, &place, flags)
                .map_err(|e| KernelError::io("move into place", &place, e))?;
            crash::point("kernel placed");
        }
        let (path, fresh) = (self.root.join("current"), self.root.join(".fresh"));
        crate::cache::write_record(&fresh, &record.digest)?;
        std::fs::rename(&fresh, &path).map_err(|e| KernelError::io("write", &path, e))?;
        rustix::fs::syncfs(lock).map_err(|e| KernelError::io("sync", &path, e))?;
        crash::point("kernel named");
        Ok(record.digest)
    }

    /// Removes kernels that are neither in use nor held at this moment, and left builds; how many
    /// kernels. Nothing when another call is installing one.
    pub fn collect(&self) -> Result<u64> {
        let path = self.root.join(".lock");
        let lock = crate::cache::open_lock(&path)?;
        if lock.try_lock().is_err() {
            return Ok(0);
        }
        self.sweep()?;
        let Some(current) = self.pointer()? else { return Ok(0) };
        let mut removed = 0;
        for name in self.names()? {
            let hex = name.strip_prefix("sha256-");
            let Some(digest) = hex.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok())
            else {
                continue;
            };
            let place = self.place(&digest);
            let Ok(held) = File::open(&place) else { continue };
            // Whoever resolves it now waits for this lock, and then finds it gone.
            if digest != current && held.try_lock().is_ok() {
                remove(&place)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes what killed builds left. The lock must be held.
    fn sweep(&self) -> Result<()> {
        self.names()?
            .iter()
            .filter(|name| name.starts_with(BUILDING))
            .try_for_each(|name| remove(&self.root.join(name)))
    }

    fn names(&self) -> Result<Vec<String>> {
        let failed = |e| KernelError::io("read", &self.root, e);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        Ok(names)
    }
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_dir_all(path).map_err(|e| KernelError::io("remove", path, e))
}

fn first_that_works(
    sources: &[KernelSource],
    building: &Path,
    progress: &mut ProgressSink<'_>,
    gather: &mut Gather<'_>,
) -> Result<(Gathered, Vec<String>)> {
    let (mut tried, mut hint) = (Vec::new(), None);
    for source in sources {
        match gather(source, building, progress) {
            Ok(gathered) => return Ok((gathered, tried)),
            Err(error) if sources.len() == 1 => return Err(error),
            Err(error) => {
                hint = hint.or_else(|| error.hint());
                tried.push(with_sources(&error));
            }
        }
    }
    Err(KernelError::NoSource { tried, hint })
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

/// A directory to build in; dropped, it is gone, unless it was moved elsewhere.
struct Building(std::path::PathBuf);

impl Building {
    fn begin(root: &Path) -> Result<Self> {
        let path = root.join(format!("{BUILDING}{}", crate::cache::random()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| KernelError::io("make", &path, e))?;
        Ok(Self(path))
    }

    /// Checks what was gathered and writes it; whatever a source left in the directory goes.
    fn write(&self, gathered: Gathered) -> Result<Record> {
        let Gathered { image, modules, builtin, from } = gathered;
        let release = image::release(&image, &from.to_string())?;
        let order = modules::in_order(&modules, builtin.as_ref(), &release)?;
        let failed = |e| KernelError::io("read", &self.0, e);
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            remove(&entry.map_err(failed)?.path())?;
        }
        let folder = self.0.join(MODULES);
        std::fs::create_dir(&folder).map_err(|e| KernelError::io("make", &folder, e))?;
        let mut parts = vec![self.part(IMAGE.to_owned(), &image)?];
        for (index, name) in order.iter().enumerate() {
            let content = modules.get(name).map_or(&[][..], Vec::as_slice);
            parts.push(self.part(format!("{MODULES}/{:02}-{name}.ko", index + 1), content)?);
        }
        let record = Record::new(release, from, parts);
        record.write(&self.0)?;
        Ok(record)
    }

    fn part(&self, path: String, content: &[u8]) -> Result<Part> {
        let file = self.0.join(&path);
        File::create(&file)
            .and_then(|mut file| file.write_all(content))
            .map_err(|e| KernelError::io("write", &file, e))?;
        Ok(Part::of(path, content))
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // A failure here leaves something for the next sweep, no more.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
