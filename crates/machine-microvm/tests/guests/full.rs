//! A guest that runs out of disk or memory: a stated failure of the command, nothing more.

use pyro_model::ExecState;

use crate::support::with_home;

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
