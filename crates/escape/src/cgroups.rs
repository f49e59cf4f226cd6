//! Cgroups: their files are not there, and cannot be mounted.

use crate::{
    Place,
    probe::{python, refused},
};

pub(super) fn cgroups(place: &Place<'_>) {
    place.session(|session| {
        let seen = python(
            session,
            "
print(os.path.exists('/sys/fs/cgroup'), [call(165, b'c', b'/tmp', kind, 0, 0) for kind in (b'cgroup', b'cgroup2')])
print([line.strip() for line in open('/proc/self/mounts') if line.split()[2].startswith('cgroup')])
paths = {line.strip().split(':', 2)[2] for line in open('/proc/self/cgroup')}
print(all('..' not in path for path in paths))
",
        );
        assert!(seen.starts_with("False [-1, -1]\n[]\n"), "{seen}");
        refused(session, "mkdir /sys/fs/cgroup/x", &["No such file", "Read-only"]);
        // The classic way out: a release agent or a core handler on the host.
        refused(session, "echo /x > /proc/sys/kernel/core_pattern", &["Read-only", "denied"]);
    });
}
