//! The kernel's keys are not in any namespace: none can be added, read or found.

use crate::{Place, probe::python};

pub(super) fn keyrings(place: &Place<'_>) {
    place.session(|session| {
        let seen = python(
            session,
            "print([call(250, n, -3, 0, 0, 0) for n in range(0, 32)] == [-1] * 32, \
             call(248, b'user', b'x', b'y', 1, -2), call(249, b'user', b'x', 0, -2))",
        );
        assert_eq!(seen, "True -1 -1\n");
    });
}
