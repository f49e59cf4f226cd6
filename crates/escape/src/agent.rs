//! The agent itself: its memory, its descriptors, its life.

use pyro_model::{ExecState, MachineKind};

use crate::{Place, probe::python};

pub(super) fn agent(place: &Place<'_>) {
    place.session(|session| {
        let seen = python(
            session,
            "
for name in ('mem', 'environ', 'maps', 'auxv', 'io', 'stack', 'syscall', 'cwd', 'root', 'exe'):
    path = '/proc/1/' + name
    if name in ('cwd', 'root', 'exe'):
        try: print(name, os.readlink(path))
        except OSError as error: print(name, errno.errorcode[error.errno])
    elif name == 'mem':
        print(name, opened(path, os.O_RDWR))
    else:
        # Some are refused only when they are read.
        try: print(name, len(open(path, 'rb').read()), 'bytes')
        except OSError as error: print(name, errno.errorcode[error.errno])
try: print('fd', os.listdir('/proc/1/fd'))
except OSError as error: print('fd', errno.errorcode[error.errno])
for fd in range(20):
    answer = opened('/proc/1/fd/%d' % fd)
    if answer not in ('EACCES', 'ENOENT', 'EPERM'): print('descriptor', fd, answer)
os.kill(1, 9); os.kill(1, 15); os.kill(1, 19)
print('prlimit', call(302, 1, 7, 0, ctypes.create_string_buffer(16)))
print('pidfd', call(434, 1, 0) >= 0)
print('getfd', call(438, call(434, 1, 0), 3, 0))
print('wake', opened('/proc/1/oom_score_adj', os.O_WRONLY))
",
        );
        for name in ["environ", "io", "stack", "syscall", "cwd", "root", "exe"] {
            let line = seen.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(line.ends_with("EACCES") || line.ends_with("EPERM"), "{line}");
        }
        for name in ["mem", "maps", "auxv"] {
            let line = seen.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(line.ends_with("EACCES") || line.ends_with("EPERM"), "{line}");
        }
        assert!(!seen.contains("descriptor"), "{seen}");
        assert!(seen.contains("getfd -1\n"), "{seen}");
        assert!(seen.contains("prlimit -1\n"), "{seen}");
        // In a VM the numbers of its descriptors can be listed, none of them opened; and by its
        // worth to the kernel nothing but the machine's own end can be brought about.
        if place.machine.kind() == MachineKind::Container {
            let line = seen.lines().find(|line| line.starts_with("fd")).unwrap();
            assert!(line.ends_with("EACCES") || line.ends_with("EPERM"), "{line}");
            assert!(seen.contains("wake EACCES") || seen.contains("wake EPERM"), "{seen}");
        }
        assert_eq!(session.must("echo alive").unwrap(), "alive\n");
        // Also what watches over a single command may die; only that command suffers.
        let output = session.run("kill -9 -1; kill -9 $PPID; sleep 1; echo still").unwrap();
        assert_ne!(output.finished.state, ExecState::Running, "{output:?}");
        assert_eq!(session.must("echo alive").unwrap(), "alive\n");
    });
}
