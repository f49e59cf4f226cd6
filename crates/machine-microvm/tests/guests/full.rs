//! A guest that runs out of disk or memory: a stated failure of the command, nothing more.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use pyro_machine::{Machine, conformance::Session};
use pyro_model::ExecState;

use crate::support::with_home;

/// A small file system, gone with this value.
struct Small(PathBuf);

impl Small {
    /// `None` where nothing can be mounted.
    fn over(directory: &Path, size: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "small"]);
        let mounted = mount.arg(directory).status().is_ok_and(|status| status.success());
        mounted.then(|| Self(directory.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn without_room_for_a_template_the_machine_boots() {
    with_home(|home| {
        let templates = home.machine_directory().join("templates");
        let Some(_small) = Small::over(&templates, "16m") else {
            println!("skipped: nothing can be mounted here");
            return;
        };
        let workspace = home.fixture.workspace(&home.machine).unwrap();
        let started = home.machine.start(&workspace.spec).unwrap();
        assert!(started.notices[0].contains("without a template"), "{:?}", started.notices);
        let mut session = Session::new(started.stream).unwrap();
        assert_eq!(session.must("echo alive").unwrap(), "alive\n");
        drop(session);
        home.machine.end(workspace.directory()).unwrap();
        assert_eq!(std::fs::read_dir(&templates).unwrap().count(), 0, "nothing is left of it");
    });
}

#[test]
fn a_full_disk_fails_the_command_and_keeps_the_rest() {
    with_home(|home| {
        let mut workspace = home.fixture.workspace(&home.machine).unwrap();
        workspace.spec.limits.disk_mib = Some(256);
        workspace
            .session(&home.machine, |session| {
                session.must("echo kept > /workspace/kept")?;
                let output = session.run("dd if=/dev/zero of=/big bs=1M count=400")?;
                assert!(!output.ok() && output.stderr.contains("No space left"), "{output:?}");
                // Output is not kept on the guest's disk.
                assert_eq!(session.must("echo alive; cat /workspace/kept")?, "alive\nkept\n");
                let output = session.run("echo more > /workspace/more")?;
                assert!(!output.ok(), "{output:?}");
                Ok(())
            })
            .unwrap();
        workspace
            .session(&home.machine, |session| {
                assert_eq!(session.must("cat /workspace/kept; rm /big")?, "kept\n");
                session.must("echo more > /workspace/more")?;
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn a_command_that_eats_all_memory_is_killed_and_the_machine_lives() {
    with_home(|home| {
        home.session(|session| {
            session.must("echo kept > /workspace/kept").unwrap();
            let line = "exec python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 24))'";
            let output = session.run(line).unwrap();
            assert_eq!(output.finished.state, ExecState::Signaled, "{output:?}");
            assert_eq!(output.finished.signal, Some(9), "{output:?}");
            assert_eq!(session.must("cat /workspace/kept").unwrap(), "kept\n");
        });
    });
}
