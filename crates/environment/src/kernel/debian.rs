//! Debian's kernel for clouds, by the host's `apt-get` in a place of its own: its lists, settings
//! and downloads lie in the build directory, none of the host's hooks or sources take part, and
//! no rights are needed. Packages are verified by apt with the host's Debian archive keys.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::modules::{self, MODULE_MOST};
use super::{Gathered, KernelError, KernelFrom, Result, image};
use crate::bootstrap::find_program;
use crate::bootstrap::mirror::{Mirrors, is_mirror};
use crate::bootstrap::report::Report;
use crate::progress::{Progress, ProgressSink, Stage};

const SUITE: &str = "bookworm";
/// Depends on the kernel's own package, whose name changes with each release.
const PACKAGE: &str = "linux-image-cloud-amd64";
const KEYS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];
/// Entries and bytes of the package that are read at most.
const ENTRIES_MOST: u64 = 100_000;
const UNPACKED_MOST: u64 = 2 << 30;
/// The most that is heard of a program.
const HEARD_MOST: u64 = 1 << 20;
/// How often the package is read, each time for what the last modules depend on.
const ROUNDS: usize = 4;

/// Downloads the package into `room` and takes from it what the microVM needs.
pub(super) fn gather(
    mirror: Option<&str>,
    room: &Path,
    progress: &mut ProgressSink<'_>,
) -> Result<Gathered> {
    let mut say = |detail: &str| progress(Progress::at(Stage::Bootstrapping, detail));
    let apt = Apt::new(mirror, room)?;
    say("reading Debian's package lists for the kernel");
    apt.run("apt-get", &["update"])?;
    let name = kernel_package(&apt.run("apt-cache", &["depends", PACKAGE])?)
        .ok_or_else(|| apt.failed(format!("{PACKAGE} depends on no kernel"), false))?;
    say(&format!("downloading {name}"));
    apt.run("apt-get", &["download", &name])?;
    let file = apt.downloaded(&name)?;
    say(&format!("unpacking {name}"));
    let release = name.trim_start_matches("linux-image-");
    let package = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let from = KernelFrom::Debian { mirror: apt.mirrors.main, package };
    take(&|| open(&file), release, from)
}

/// The one kernel that the package lists name.
fn kernel_package(depends: &str) -> Option<String> {
    let mut names =
        depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).filter(|name| {
            let release = name.strip_prefix("linux-image-").unwrap_or_default();
            image::is_release(release.as_bytes()) && release.ends_with("-cloud-amd64")
        });
    names.next().map(str::to_owned)
}

struct Apt {
    room: PathBuf,
    mirrors: Mirrors,
}

impl Apt {
    fn new(mirror: Option<&str>, room: &Path) -> Result<Self> {
        if let Some(bad) = mirror.filter(|mirror| !is_mirror(mirror)) {
            return Err(KernelError::Download {
                mirror: crate::unpack::printable(bad.as_bytes()),
                message: "a mirror must be an http://, https:// or file:/// address".into(),
                network: false,
            });
        }
        for program in ["apt-get", "apt-cache", "apt-config", "dpkg-deb"] {
            if find_program(program).is_none() {
                return Err(KernelError::ProgramMissing { program });
            }
        }
        if room.to_str().is_none_or(|text| text.contains(['"', '\n'])) {
            return Err(KernelError::unusable(room, "apt cannot work in a directory of this name"));
        }
        let keys = KEYS.iter().find(|keys| Path::new(keys).is_file());
        let keys = keys.ok_or(KernelError::KeysMissing)?;
        let mirrors = Mirrors::choose(mirror, Path::new("/etc/apt"), SUITE);
        let apt = Self { room: room.join("apt"), mirrors };
        for folder in ["lists/partial", "cache/archives/partial", "deb"] {
            let path = apt.room.join(folder);
            std::fs::create_dir_all(&path).map_err(|e| KernelError::io("make", &path, e))?;
        }
        let signed = format!("deb [arch=amd64 signed-by={keys}] ");
        let sources = apt.mirrors.source_lines(SUITE);
        let sources: String = sources
            .lines()
            .map(|line| format!("{}\n", line.replacen("deb ", &signed, 1)))
            .collect();
        apt.write("sources.list", &sources)?;
        apt.write("status", "")?;
        apt.write("apt.conf", &apt.settings())?;
        Ok(apt)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.room.join(name);
        std::fs::write(&path, text).map_err(|e| KernelError::io("write", &path, e))
    }

    /// Everything of apt's happens in the room, and nothing of the host's settings but its proxies.
    fn settings(&self) -> String {
        let room = self.room.display();
        let mut text = format!(
            "Dir::State \"{room}\";\nDir::State::lists \"{room}/lists\";\n\
             Dir::State::status \"{room}/status\";\nDir::Cache \"{room}/cache\";\n\
             Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\n\
             Dir::Etc::sourcelist \"{room}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             Dir::Etc::trusted \"/dev/null\";\nDir::Etc::trustedparts \"/dev/null\";\n\
             Dir::Etc::netrc \"/dev/null\";\nDir::Etc::netrcparts \"/dev/null\";\n\
             Dir::Log \"/dev/null\";\nAPT::Sandbox::User \"root\";\nAPT::Architecture \"amd64\";\n\
             APT::Architectures {{ \"amd64\"; }};\nAcquire::Languages \"none\";\n\
             Acquire::Retries \"2\";\nAPT::Update::Error-Mode \"any\";\n"
        );
        for key in ["Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::https::CAInfo"] {
            if let Some(value) = hosts_setting(key) {
                text.push_str(&format!("{key} \"{value}\";\n"));
            }
        }
        text
    }

    fn run(&self, program: &'static str, arguments: &[&str]) -> Result<String> {
        let missing = || KernelError::ProgramMissing { program };
        let mut child = Command::new(find_program(program).ok_or_else(missing)?)
            .args(arguments)
            .current_dir(self.room.join("deb"))
            .env("APT_CONFIG", self.room.join("apt.conf"))
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| KernelError::io("run", Path::new(program), e))?;
        let (output, messages) = (child.stdout.take(), child.stderr.take());
        let (said, complained) = std::thread::scope(|scope| {
            let complaints = scope.spawn(|| heard(messages));
            (heard(output), complaints.join().unwrap_or_default())
        });
        let status =
            child.wait().map_err(|e| KernelError::io("wait for", Path::new(program), e))?;
        if status.success() {
            return Ok(said);
        }
        let mut report = Report::default();
        said.lines().chain(complained.lines()).for_each(|line| drop(report.line(line)));
        if report.disk_full() {
            return Err(KernelError::io(
                "download in",
                &self.room,
                std::io::ErrorKind::StorageFull,
            ));
        }
        Err(self.failed(report.reason(), report.network()))
    }

    fn downloaded(&self, name: &str) -> Result<PathBuf> {
        let folder = self.room.join("deb");
        let entries =
            std::fs::read_dir(&folder).map_err(|e| KernelError::io("read", &folder, e))?;
        let of_package = |path: &PathBuf| {
            let file = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            file.starts_with(&format!("{name}_")) && file.ends_with(".deb")
        };
        let found = entries.flatten().map(|entry| entry.path()).find(of_package);
        found.ok_or_else(|| self.failed(format!("{name} is not where it was downloaded"), false))
    }

    fn failed(&self, message: String, network: bool) -> KernelError {
        KernelError::Download { mirror: self.mirrors.main.clone(), message, network }
    }
}

fn heard(output: Option<impl Read>) -> String {
    let Some(mut output) = output else { return String::new() };
    let mut bytes = Vec::new();
    // What is over the bound is read all the same: the program would wait for ever.
    let _ = (&mut output).take(HEARD_MOST).read_to_end(&mut bytes);
    let _ = std::io::copy(&mut output, &mut std::io::sink());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One of the settings of the host's apt, if it can stand in a file of settings.
fn hosts_setting(key: &str) -> Option<String> {
    let output = Command::new(find_program("apt-config")?)
        .args(["shell", "VALUE", key])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let value = text.trim().strip_prefix("VALUE='")?.strip_suffix('\'')?;
    let plain = value.bytes().all(|b| b.is_ascii_graphic() && !b"\"'\\;{}".contains(&b));
    (plain && !value.is_empty()).then(|| value.to_owned())
}

/// The package's files as a tar.
fn open(package: &Path) -> Result<Opened> {
    let failed = |e| KernelError::io("run", Path::new("dpkg-deb"), e);
    let program = find_program("dpkg-deb");
    let program = program.ok_or(KernelError::ProgramMissing { program: "dpkg-deb" })?;
    let mut child = Command::new(program)
        .arg("--fsys-tarfile")
        .arg(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let output =
        child.stdout.take().ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
    Ok((Box::new(output), Some(child)))
}

type Opened = (Box<dyn Read>, Option<std::process::Child>);

/// Takes image and modules of `release` out of the package that `open` opens.
fn take(open: &dyn Fn() -> Result<Opened>, release: &str, from: KernelFrom) -> Result<Gathered> {
    let mut wanted = Wanted::new(release);
    for _ in 0..ROUNDS {
        let (reader, child) = open()?;
        let read = wanted.read(reader);
        if let Some(mut child) = child {
            // It was read to its end, or is of no more use.
            let _ = child.kill();
            let _ = child.wait();
        }
        read?;
        let lacking = modules::missing(&wanted.modules, Some(&wanted.builtin));
        if lacking.is_subset(&wanted.looked_for) {
            break;
        }
        wanted.looked_for = lacking;
    }
    let Wanted { image, modules, builtin, .. } = wanted;
    let image = image.ok_or_else(|| KernelError::refused(release, "the package has no image"))?;
    Ok(Gathered { image, modules, builtin: Some(builtin), from })
}

struct Wanted {
    image_path: String,
    folders: [String; 2],
    looked_for: BTreeSet<String>,
    image: Option<Vec<u8>>,
    modules: BTreeMap<String, Vec<u8>>,
    builtin: BTreeSet<String>,
}

impl Wanted {
    fn new(release: &str) -> Self {
        Self {
            image_path: format!("boot/vmlinuz-{release}"),
            folders: ["lib", "usr/lib"].map(|lib| format!("{lib}/modules/{release}/")),
            looked_for: modules::missing(&BTreeMap::new(), None),
            image: None,
            modules: BTreeMap::new(),
            builtin: BTreeSet::new(),
        }
    }

    /// Reads the whole tar once.
    fn read(&mut self, reader: impl Read) -> Result<()> {
        let broken =
            |e: std::io::Error| KernelError::refused("the kernel's package", e.to_string());
        let mut archive = tar::Archive::new(reader.take(UNPACKED_MOST));
        let mut count = 0;
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            count += 1;
            if count > ENTRIES_MOST {
                return Err(KernelError::refused(
                    "the kernel's package",
                    "it has too many entries",
                ));
            }
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let path = path.strip_prefix("./").unwrap_or(&path);
            let folder = self.folders.iter().find_map(|folder| path.strip_prefix(folder));
            if path == self.image_path {
                self.image = Some(content(&mut entry, path, image::IMAGE_MOST)?);
            } else if folder == Some("modules.builtin") {
                let text = content(&mut entry, path, MODULE_MOST)?;
                self.builtin = modules::builtin(&String::from_utf8_lossy(&text));
            } else if let Some(file) = folder.and_then(|rest| rest.rsplit('/').next())
                && let Some(name) = modules::name_of(file)
                && self.looked_for.contains(&name)
                && self.modules.len() < modules::MODULES_MOST
            {
                let packed = content(&mut entry, path, MODULE_MOST)?;
                let module = modules::unpacked(file, packed)?;
                self.modules.entry(name).or_insert(module);
            }
        }
        Ok(())
    }
}

fn content(entry: &mut impl Read, path: &str, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let what = || crate::unpack::printable(path.as_bytes());
    entry
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| KernelError::refused(what(), e.to_string()))?;
    if bytes.len() as u64 > most {
        return Err(KernelError::refused(what(), format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: &str = "6.1.0-9-cloud-amd64";

    fn package(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            // As they are, also those that a builder would refuse.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            tar.append(&header, &bytes[..]).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn taken(entries: &[(&str, Vec<u8>)]) -> Result<Gathered> {
        let tar = package(entries);
        let open = || -> Result<Opened> { Ok((Box::new(std::io::Cursor::new(tar.clone())), None)) };
        let from = KernelFrom::Debian { mirror: "http://m".into(), package: "p".into() };
        take(&open, RELEASE, from)
    }

    fn module(path: &str, depends: &str) -> (String, Vec<u8>) {
        let path = format!("./lib/modules/{RELEASE}/kernel/{path}");
        (path, modules::made_up(depends, RELEASE))
    }

    #[test]
    fn takes_the_image_and_the_modules_with_what_they_depend_on_and_nothing_else() {
        let (erofs, netfs, other) = (
            module("fs/erofs/erofs.ko", "netfs"),
            module("a/netfs.ko", ""),
            module("a/nfs.ko", ""),
        );
        let image = format!("./boot/vmlinuz-{RELEASE}");
        let builtin = format!("./lib/modules/{RELEASE}/modules.builtin");
        let gathered = taken(&[
            (&image, image::made_up(RELEASE)),
            (&netfs.0, netfs.1.clone()),
            (&other.0, other.1.clone()),
            (&erofs.0, erofs.1.clone()),
            (&builtin, b"kernel/fs/ext4/ext4.ko\n".to_vec()),
            ("../../etc/passwd", b"x".to_vec()),
            ("./boot/../boot/vmlinuz-6.1.0-9-cloud-amd64", b"another".to_vec()),
            ("/lib/modules/6.1.0-9-cloud-amd64/kernel/overlay.ko", b"absolute".to_vec()),
        ])
        .unwrap();
        assert_eq!(gathered.modules.keys().collect::<Vec<_>>(), ["erofs", "netfs"]);
        assert_eq!(gathered.image, image::made_up(RELEASE));
        assert!(gathered.builtin.unwrap().contains("ext4"));
    }

    #[test]
    fn a_package_without_an_image_or_with_a_broken_module_is_refused() {
        assert!(taken(&[]).unwrap_err().to_string().contains("no image"));
        let path = format!("./lib/modules/{RELEASE}/kernel/fs/erofs.ko");
        assert!(taken(&[(&path, b"no module".to_vec())]).is_err());
        let from = || KernelFrom::Debian { mirror: String::new(), package: String::new() };
        let torn = package(&[(&path, vec![1; 4096])])[..1024].to_vec();
        let open =
            || -> Result<Opened> { Ok((Box::new(std::io::Cursor::new(torn.clone())), None)) };
        assert!(take(&open, RELEASE, from()).is_err());
    }

    #[test]
    fn only_a_kernel_for_clouds_is_downloaded() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(kernel_package(text).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        for bad in [
            "bash",
            "linux-image-6.1-amd64",
            "linux-image--o-cloud-amd64",
            "linux-image-6/-cloud-amd64",
        ] {
            assert_eq!(kernel_package(&format!("x\n  Depends: {bad}\n")), None, "{bad}");
        }
    }

    #[test]
    fn a_mirror_that_is_none_is_refused_before_anything_runs() {
        let room = tempfile::tempdir().unwrap();
        let error = gather(Some("[trusted=yes] http://x"), room.path(), &mut |_| {}).unwrap_err();
        assert!(matches!(error, KernelError::Download { network: false, .. }));
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 0);
    }
}
