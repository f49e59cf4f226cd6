//! A QEMU that a guest has broken open: what it holds, and what it could reach with its own rights
//! from where it stands. Template, environment and blank disk are not among what it can write.

use std::{fs, path::Path, process::Command};

use pyro_machine::{Machine, conformance::Session};

use crate::{processes, support::with_home};

/// Run by the host's Python, which goes where QEMU stands and takes its rights, and tries.
const PROBE: &str = "
import ctypes, os, errno, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(result):
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x40000000
must(libc.setns(os.pidfd_open(int(sys.argv[1])), NEWUSER | NEWNS | NEWNET | NEWIPC | NEWUTS))
os.setresgid(0, 0, 0); os.setresuid(0, 0, 0)
for capability in range(41): libc.prctl(24, capability, 0, 0, 0)
must(libc.prctl(38, 1, 0, 0, 0))
must(libc.capset(struct.pack('=Ii', 0x20080522, 0), struct.pack('=6I', 0, 0, 0, 0, 0, 0)))
def opened(path, flags):
    try: os.close(os.open(path, flags)); return 'opened'
    except OSError as error: return errno.errorcode[error.errno]
root = os.listdir('/')
print('root', sorted(root))
for top in root:
    print(top, opened('/' + top, os.O_RDWR), opened('/' + top, os.O_WRONLY | os.O_TRUNC))
    try: os.chmod('/' + top, 0o777); print('chmod', top)
    except OSError as error: print(top, errno.errorcode[error.errno])
for path in ('/ram', '/lib/x86_64-linux-gnu/libc.so.6', '/usr/bin/qemu-system-x86_64'):
    print(path, opened(path, os.O_RDWR))
for path in ('/new', '/dev/new', '/usr/new', '/tmp/new', '/lib/new'):
    print(path, opened(path, os.O_RDWR | os.O_CREAT))
print('seen', [name for name in ('proc', 'sys', 'home', 'root', 'var', 'tmp', 'run', 'boot', 'opt', 'srv', 'work') if name in root and os.listdir('/' + name)])
print('mount', libc.mount(b'none', b'/', b'tmpfs', 0, None), libc.unshare(NEWUSER | NEWNS))
print('net', [name for _, name in socket.if_nameindex()])
print('done')
";

#[test]
fn a_broken_qemu_writes_nothing_that_others_read() {
    with_home(|home| {
        let workspace = home.fixture.workspace(&home.machine).unwrap();
        // The first makes the template, the second is a clone like any other.
        workspace.session(&home.machine, |session| session.must("true").map(drop)).unwrap();
        let before = sums(home.machine_directory());
        assert!(before.contains("/ram") && before.contains("/state"), "{before}");
        let started = home.machine.start(&workspace.spec).unwrap();
        let mut session = Session::new(started.stream).unwrap();
        session.must("dd if=/dev/urandom of=/tmp/x bs=1M count=20 2>/dev/null; sync").unwrap();
        let both = processes(workspace.directory());
        held(both.qemu.0, workspace.directory());
        reached(both.qemu.0);
        drop(session);
        home.machine.end(workspace.directory()).unwrap();
        assert_eq!(sums(home.machine_directory()), before, "a clone changed what others read");
    });
}

/// Every descriptor that can be written to, and every shared mapping, is the workspace's own.
fn held(qemu: i32, own: &Path) {
    let mut files = 0;
    for entry in fs::read_dir(format!("/proc/{qemu}/fd")).unwrap() {
        let entry = entry.unwrap();
        let target = fs::read_link(entry.path()).unwrap();
        // A socket, a pipe, memory of its own, or `/dev/null` as a fenced process sees it.
        let is_file = fs::metadata(entry.path()).is_ok_and(|about| about.is_file());
        if !is_file || target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:") {
            continue;
        }
        files += 1;
        let number = entry.file_name().into_string().unwrap();
        let info = fs::read_to_string(format!("/proc/{qemu}/fdinfo/{number}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let writable = u32::from_str_radix(flags.trim(), 8).unwrap() & 3 != 0;
        assert!(!writable || target.starts_with(own), "{} can be written", target.display());
    }
    assert!(files >= 3, "QEMU holds only {files} files: the test looks at the wrong process");
    for line in fs::read_to_string(format!("/proc/{qemu}/maps")).unwrap().lines() {
        let mode = line.split(' ').nth(1).unwrap();
        let shared = mode.contains('w') && mode.ends_with('s');
        let file = line.split_once('/').map(|(_, path)| path.to_owned()).unwrap_or_default();
        assert!(
            !shared || file.starts_with("dev/") || file.starts_with("memfd:") || file.is_empty(),
            "{line}"
        );
    }
}

fn reached(qemu: i32) {
    let output = Command::new("/usr/bin/python3")
        .args(["-c", PROBE, &qemu.to_string()])
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(said.ends_with("done\n"), "the probe failed: {said}{complained}");
    assert!(!said.contains("opened") && !said.contains("chmod"), "{said}");
    assert!(said.contains("seen []"), "{said}");
    assert!(said.contains("mount -1"), "{said}");
    assert!(said.contains("net []") || said.contains("net ['lo']"), "{said}");
}

/// Hashes of everything that several machines read.
fn sums(directory: &Path) -> String {
    let find = "find . -type f ! -name used ! -name '*.lock' ! -name placeholder -size -3G | sort | xargs sha256sum";
    let output = Command::new("sh").args(["-c", find]).current_dir(directory).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
