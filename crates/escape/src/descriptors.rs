//! Descriptors: a command has its three streams, whatever its creator had open.

use std::fs::File;

use crate::{Place, probe::python};

pub(super) fn descriptors(place: &Place<'_>) {
    // One that a careless caller would leak: kept across exec.
    let leaked = File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    place.session(|session| {
        let seen = python(
            session,
            "
own = os.open('/', os.O_RDONLY)
for fd in os.listdir('/proc/self/fd'):
    try: print(fd, os.readlink('/proc/self/fd/' + fd).split(':')[0])
    except FileNotFoundError: pass
print(os.environ.get('PYRO_LEAK'), sorted(name for name in os.environ))
print(os.umask(0o022) == 0o022, os.getsid(0) != 0)
",
        );
        for line in seen.lines().take_while(|line| !line.starts_with("None")) {
            let (_, target) = line.split_once(' ').unwrap();
            assert!(
                ["pipe", "/", "/dev/null"].contains(&target) || target.starts_with("/tmp"),
                "{seen}"
            );
        }
        assert!(seen.contains("'HOME', 'LC_ALL', 'PATH'"), "{seen}");
        assert!(seen.ends_with("True True\n"), "{seen}");
    });
}
