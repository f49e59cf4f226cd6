//! Files of the guest's ids, from outside: a mapped program reads them, a discard removes them.

use std::{ffi::OsStr, fs, process::Stdio};

use pyro_machine::Machine;
use pyro_machine_container::Streams;

use crate::support::Home;

pub(crate) fn mapped(home: &Home) {
    let one = home.machine.ids().is_one();
    let workspace = home.fixture.workspace(&home.machine).unwrap();
    workspace
        .session(&home.machine, |session| {
            session.must("mkdir -p /workspace/d/e && echo inner > /workspace/d/e/f")?;
            if !one {
                session.must("chown -R 1000:1000 /workspace/d")?;
            }
            session.must("chmod 0 /workspace/d/e/f /workspace/d/e /workspace/d")?;
            Ok(())
        })
        .unwrap();
    let file = workspace.directory().join("tree/upper/d/e/f");
    let streams = Streams { stdin: Stdio::null(), stdout: Stdio::piped(), stderr: Stdio::piped() };
    let child =
        home.machine.run_mapped(OsStr::new("/bin/cat"), &[file.as_os_str()], streams).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "inner\n", "{output:?}");
    let trash = home.fixture.home.join("trash");
    fs::rename(workspace.directory(), &trash).unwrap();
    home.machine.discard(&[&trash]).unwrap();
    pyro_machine::conformance::gone(&trash).unwrap();
}
