//! A Debian root file system from a mirror, by the host's `mmdebstrap`.
//!
//! It writes a tar to its standard output, which goes through the same unpacking as any archive:
//! so ownership is stored as everywhere, and no device gets onto the disk. Packages are verified
//! by apt with the host's Debian archive keys. Does not choose names or places.

pub(crate) mod mirror;
pub(crate) mod report;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::cache::{Building, Built, ImageConfig, InstalledFrom};
use crate::error::{EnvironmentError, Result};
use crate::name::EnvironmentName;
use crate::progress::{Progress, ProgressSink, Stage};
use crate::unpack::{UnpackError, UnpackPlan};
use crate::unpacker::StoredOwnership;

use mirror::Mirrors;
use report::Report;

const PROGRAM: &str = "mmdebstrap";
/// Where programs are besides PATH, which chat hosts cut short.
const PLACES: [&str; 2] = ["/usr/bin", "/usr/local/bin"];
/// The longest line of its output that is looked at whole.
const LINE_MOST: u64 = 16 << 10;

/// One bootstrap.
pub(crate) struct Bootstrap<'a> {
    pub(crate) name: &'a EnvironmentName,
    pub(crate) suite: &'a str,
    pub(crate) packages: &'a [&'a str],
    /// The mirror that the caller names.
    pub(crate) mirror: Option<&'a str>,
}

impl Bootstrap<'_> {
    /// Builds it in `building`.
    pub(crate) fn run(
        &self,
        building: &Building<'_>,
        progress: &mut ProgressSink<'_>,
    ) -> Result<Built> {
        if let Some(bad) = self.mirror.filter(|mirror| !mirror::is_mirror(mirror)) {
            return Err(EnvironmentError::Bootstrap {
                name: self.name.to_string(),
                mirror: crate::unpack::printable(bad.as_bytes()),
                message: "a mirror must be an http://, https:// or file:/// address".into(),
                network: false,
            });
        }
        let mirrors = Mirrors::choose(self.mirror, Path::new("/etc/apt"), self.suite);
        let mut child = self.start(building, &mirrors)?;
        let (Some(archive), Some(messages)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(self.failed(&mirrors, "its output is not connected".into(), false));
        };
        let detail = format!("{} from {}", self.suite, mirrors.main);
        progress(Progress::at(Stage::Bootstrapping, detail));
        let mut report = Report::default();
        // Both outputs must be read at once; progress stays in the caller's thread.
        let unpacked = std::thread::scope(|scope| {
            let unpacking = scope.spawn(|| unpack(building, archive));
            let mut messages = BufReader::new(messages);
            while let Some(line) = next_line(&mut messages) {
                if let Some(shown) = report.line(&line) {
                    progress(shown);
                }
            }
            let died = || UnpackError::Process { message: "its thread died".into() };
            unpacking.join().unwrap_or_else(|_| Err(died()))
        });
        let program = Path::new(PROGRAM);
        let status = child.wait().map_err(|e| EnvironmentError::io("wait for", program, e))?;
        if report.disk_full() {
            let full = std::io::ErrorKind::StorageFull;
            return Err(EnvironmentError::io("bootstrap in", building.path(), full));
        }
        match unpacked {
            // When the program fails, its archive breaks off: the program's own words say why.
            Err(e) if status.success() || !matches!(e, UnpackError::Malformed { .. }) => {
                Err(EnvironmentError::archive(&building.rootfs(), e))
            }
            _ if !status.success() => Err(self.failed(&mirrors, report.reason(), report.network())),
            _ => Ok(Built {
                source: InstalledFrom::DebianBootstrap {
                    mirror: mirrors.main,
                    suite: self.suite.to_owned(),
                    packages: self.packages.iter().map(|&package| package.to_owned()).collect(),
                },
                image: ImageConfig::default(),
                package_caches: true,
            }),
        }
    }

    fn start(&self, building: &Building<'_>, mirrors: &Mirrors) -> Result<Child> {
        let missing =
            || EnvironmentError::ProgramMissing { name: self.name.to_string(), program: PROGRAM };
        let mut command = Command::new(find_program(PROGRAM).ok_or_else(missing)?);
        match building.cache().unpacker().ownership() {
            StoredOwnership::Single => {
                return Err(EnvironmentError::NoSubordinateIds { name: self.name.to_string() });
            }
            StoredOwnership::Unshifted => {
                // Killed, it leaves its work where the next sweep finds it.
                let work = building.path().join("bootstrap");
                std::fs::DirBuilder::new()
                    .mode(0o755)
                    .create(&work)
                    .map_err(|e| EnvironmentError::io("make", &work, e))?;
                command.arg("--mode=root").env("TMPDIR", &work);
            }
            // Its user namespace has other ids than ours and could not enter the build directory.
            // At its end it hangs up on its whole process group, which must not be ours or that of
            // the script we run in.
            StoredOwnership::Mapped { .. } => {
                command.arg("--mode=unshare").env_remove("TMPDIR").process_group(0);
            }
        }
        command.args(["--variant=minbase", "--format=tar", "--verbose"]);
        if !self.packages.is_empty() {
            command.arg(format!("--include={}", self.packages.join(",")));
        }
        command.args([self.suite, "-"]);
        for line in mirrors.source_lines(self.suite).lines() {
            command.arg(line);
        }
        command.current_dir("/").env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|e| EnvironmentError::io("run", Path::new(PROGRAM), e))
    }

    fn failed(&self, mirrors: &Mirrors, message: String, network: bool) -> EnvironmentError {
        let (name, mirror) = (self.name.to_string(), mirrors.main.clone());
        EnvironmentError::Bootstrap { name, mirror, message, network }
    }
}

fn unpack(building: &Building<'_>, archive: ChildStdout) -> Result<(), UnpackError> {
    let unpacker = building.cache().unpacker();
    let plan = UnpackPlan::image(unpacker.ownership().when_unpacking());
    let archive = File::from(OwnedFd::from(archive));
    unpacker.unpack(archive, &building.rootfs(), plan).map(drop)
}

/// A line, or a part of one that is far too long.
fn next_line(messages: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    match messages.take(LINE_MOST).read_until(b'\n', &mut line) {
        Ok(0) | Err(_) => None,
        // A progress bar redraws itself with carriage returns; its last state counts.
        Ok(_) => {
            let text = String::from_utf8_lossy(&line);
            Some(text.trim_end().rsplit('\r').next().unwrap_or_default().to_owned())
        }
    }
}

/// A program of the host.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).filter(|place| place.is_absolute());
    places.chain(PLACES.map(PathBuf::from)).map(|place| place.join(name)).find(|program| {
        let found = std::fs::metadata(program);
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}
