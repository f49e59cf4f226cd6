//! Setuid programs: those of the host's `/usr` give nothing, those that the guest makes cannot be
//! reached by anybody else on the host.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{Place, probe::refused};

pub(super) fn setuid(place: &Place<'_>) {
    let workspace = place.fixture.workspace(place.machine).unwrap();
    let one = !place.many_ids;
    workspace
        .session(place.machine, |session| {
            session.must("cp /usr/bin/id /workspace/id && chmod 6755 /workspace/id")?;
            assert_eq!(session.must("/workspace/id -u")?, "0\n");
            if !one {
                let line = "setpriv --reuid 1000 --regid 1000 --clear-groups";
                assert_eq!(session.must(&format!("{line} /workspace/id -u"))?, "1000\n");
                refused(
                    session,
                    &format!("{line} su -c true"),
                    &["cannot", "must be", "failure", "Critical error"],
                );
            }
            Ok(())
        })
        .unwrap();
    // The file is on the host's disk, behind a directory that is the caller's alone.
    let closed = fs::metadata(workspace.directory()).unwrap();
    assert_eq!(closed.permissions().mode() & 0o077, 0, "the directory is open to others");
}
