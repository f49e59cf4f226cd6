//! New namespaces: none, by any call; a user namespace would give back what was taken.

use crate::{
    Place,
    probe::{python, refused},
};

pub(super) fn namespaces(place: &Place<'_>) {
    place.session(|session| {
        let seen = python(
            session,
            "
flags = (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000, 0x80)
print('unshare', [call(272, flag) for flag in flags])
print('clone', [call(56, flag | 17, 0, 0, 0, 0) for flag in flags if flag != 0x80])
print('clone3', call(435, ctypes.create_string_buffer(88), 88))
for name in ('user', 'mnt', 'net', 'pid'):
    fd = os.open('/proc/self/ns/' + name, os.O_RDONLY)
    print('setns', call(308, fd, 0))
print('caps', [line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')])
print('nnp', [line.split()[1] for line in open('/proc/self/status') if line.startswith('NoNewPrivs') or line.startswith('Seccomp:')])
",
        );
        let mut lines = seen.lines();
        assert_eq!(lines.next(), Some("unshare [-1, -1, -1, -1, -1, -1, -1, -1]"));
        assert_eq!(lines.next(), Some("clone [-1, -1, -1, -1, -1, -1, -1]"));
        assert_eq!(lines.next(), Some("clone3 -38"));
        assert_eq!(lines.by_ref().take(4).collect::<Vec<_>>(), ["setns -1"; 4]);
        // Inheritable, permitted, effective, bounding, ambient: none dangerous in any.
        let few = "00000000800405fb";
        assert_eq!(
            lines.next(),
            Some(&*format!(
                "caps ['0000000000000000', '{few}', '{few}', '{few}', '0000000000000000']"
            ))
        );
        assert_eq!(lines.next(), Some("nnp ['1', '2']"));
        refused(session, "unshare --user --map-root-user true", &["not permitted"]);
    });
}
