//! Device nodes: only the harmless ones are there, and none can be made.

use crate::{
    Place,
    probe::{python, refused},
};

pub(super) fn devices(place: &Place<'_>) {
    place.session(|session| {
        let seen = session.must("ls /dev; echo x > /dev/null; head -c2 /dev/zero | wc -c").unwrap();
        let expected = "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\n\
                        urandom\nzero\n2\n";
        assert_eq!(seen, expected);
        for folder in ["/tmp", "/workspace", "/dev", "/dev/shm"] {
            let line = format!("mknod {folder}/sda b 8 0");
            refused(session, &line, &["not permitted"]);
            refused(session, &format!("mknod {folder}/mem c 1 1"), &["not permitted"]);
        }
        // A node that looks like a whiteout is only that.
        let seen = python(
            session,
            "
print(call(133, b'/tmp/null', 0o20666, 0x103) , os.access('/dev/mem', os.F_OK), os.access('/dev/kvm', os.F_OK))
print(opened('/dev/tty', os.O_RDWR))
",
        );
        assert_eq!(seen, "-1 False False\nENXIO\n");
    });
}
