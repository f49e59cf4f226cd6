//! Mounting: no call of it, old or new, is made.

use crate::{Place, probe::python};

pub(super) fn mounts(place: &Place<'_>) {
    place.session(|session| {
        let seen = python(
            session,
            "
print('mount', call(165, b'none', b'/tmp', b'tmpfs', 0, 0))
print('bind', call(165, b'/workspace', b'/tmp', 0, 4096, 0))
print('umount', call(166, b'/proc/sys', 2), call(166, b'/workspace', 2))
print('pivot', call(155, b'/', b'/'))
print('new', call(428, -100, b'/', 1), call(429, 0, b'', 0, b'', 0), call(430, b'tmpfs', 0),
      call(431, 0, 0, 0, 0, 0), call(432, 0, 0, 0), call(433, -100, b'/', 0), call(442, -100, b'/', 0, 0, 0))
print('quota', call(179, 0, b'/', 0, 0))
print('fanotify', call(300, 0, 0))
",
        );
        assert_eq!(
            seen,
            "mount -1\nbind -1\numount -1 -1\npivot -1\nnew -1 -1 -1 -1 -1 -1 -1\nquota -1\n\
             fanotify -1\n"
        );
    });
}
