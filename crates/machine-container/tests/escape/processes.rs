//! Other processes: the host's are not there, by number, by name or by signal.

use super::{probe::python, support::Home};

pub(crate) fn processes(home: &Home) {
    let own = std::process::id();
    home.session(|session| {
        let seen = python(
            session,
            &format!(
                "
names = set()
for name in os.listdir('/proc'):
    if name.isdigit():
        try: names.add(open('/proc/%s/comm' % name).read().strip())
        except OSError: pass
print(len([n for n in os.listdir('/proc') if n.isdigit()]) < 8, 'systemd' in names)
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
