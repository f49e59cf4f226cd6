//! Other processes: the host's are not there, by number, by name or by signal.

use crate::{Place, probe::python};

pub(super) fn processes(place: &Place<'_>) {
    let own = std::process::id();
    place.session(|session| {
        let seen = python(
            session,
            &format!(
                "
names = []
for name in os.listdir('/proc'):
    if name.isdigit():
        try:
            # A guest's own kernel has threads, which have no command line.
            if open('/proc/%s/cmdline' % name).read(): names.append(open('/proc/%s/comm' % name).read().strip())
        except OSError: pass
print(len(names) < 8, 'systemd' in names)
try: os.kill({own}, 0); print('host process')
except ProcessLookupError: print('no such process')
print(call(434, {own}, 0))
try: os.kill(-1, 0)
except OSError as error: print('all', errno.errorcode[error.errno])
print('parent of 1:', open('/proc/1/stat').read().rsplit(')', 1)[1].split()[1])
"
            ),
        );
        let mut lines = seen.lines();
        assert_eq!(lines.next(), Some("True False"), "{seen}");
        assert_eq!(lines.next(), Some("no such process"), "{seen}");
        assert_eq!(lines.next(), Some("-3"), "{seen}");
        assert!(seen.contains("parent of 1: 0"), "{seen}");
    });
}
