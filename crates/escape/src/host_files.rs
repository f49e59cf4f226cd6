//! Files of the host that were not shown, by any path, any link and any handle.

use std::{fs, path::Path};

use crate::{
    Place,
    probe::{python, refused},
};

pub(super) fn host_files(place: &Place<'_>) {
    let secret = place.fixture.home.join("secret");
    fs::write(&secret, "of the host").unwrap();
    let path = secret.display().to_string();
    place.session(|session| {
        refused(session, &format!("cat {path}"), &["No such file"]);
        let shadow = session.run("cat /etc/shadow").unwrap().stdout;
        let host = fs::read_to_string("/etc/shadow").unwrap_or_default();
        assert!(shadow.is_empty() || shadow != host, "the host's /etc/shadow");
        // Nothing is mounted but what was meant to be.
        let mounts = session.must("cut -d' ' -f5 /proc/self/mountinfo").unwrap();
        let binds = place.fixture.binds.iter().map(|bind| bind.target.as_path());
        let meant = ["/workspace", "/dev", "/proc"].iter().chain(place.mounts).map(Path::new);
        let meant: Vec<&Path> = meant.chain(binds).collect();
        for mount in mounts.lines().filter(|mount| *mount != "/") {
            let known = meant.iter().any(|meant| Path::new(mount).starts_with(meant));
            assert!(known, "{mount} is mounted");
        }
        assert_eq!(mounts.lines().filter(|mount| *mount == "/").count(), 1, "{mounts}");
        for up in ["/..", "/../../../..", "/workspace/../../..", "/proc/self/root/.."] {
            refused(session, &format!("cat {up}{path}"), &["No such file"]);
        }
        refused(session, "cat /proc/1/root/etc/hostname", &["Permission denied"]);
        refused(session, "ls /proc/1/cwd/", &["Permission denied"]);
        // A chroot of one's own is allowed, and getting out of it leads to this root, not the host's.
        let seen = python(
            session,
            &format!(
                "
os.makedirs('/tmp/jail', exist_ok=True)
outside = os.open('/', os.O_RDONLY)
os.chroot('/tmp/jail'); os.fchdir(outside)
for _ in range(100): os.chdir('..')
os.chroot('.')
print(os.path.exists('{path}'), os.path.isdir('/workspace'))
handle = ctypes.create_string_buffer(136)
mount = ctypes.c_int()
print(call(303, -100, b'/usr', handle, ctypes.byref(mount), 0), call(304, -100, handle, 0))
"
            ),
        );
        assert_eq!(seen, "False True\n-1 -1\n");
        if place.fixture.binds.is_empty() {
            return;
        }
        // The read-only bind stays read-only.
        refused(session, "echo x > /usr/pyro-escape", &["Read-only"]);
        refused(session, "touch /usr/bin/sh", &["Read-only", "Permission denied"]);
        refused(session, "chmod u+s /usr/bin/env", &["Read-only", "not permitted"]);
        refused(
            session,
            "mount -o remount,rw,bind /usr",
            &["ermission denied", "superuser", "not permitted"],
        );
    });
}
