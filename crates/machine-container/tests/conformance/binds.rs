//! Host paths shown inside: read-only ones are, overlaid ones take changes that the host never
//! sees, and those changes are found again.

use std::{fs, os::unix::fs::PermissionsExt};

use pyro_machine::Machine;
use pyro_model::{Bind, BindMode};

use crate::support::Home;

pub(crate) fn binds(home: &Home) {
    let shown = home.fixture.layer("shown", &[("tool", "a\n"), ("private/key", "b\n")]).unwrap();
    fs::set_permissions(shown.join("private"), fs::Permissions::from_mode(0o700)).unwrap();
    let bind = |source: &str, target: &str, mode| Bind {
        source: shown.join(source),
        target: target.into(),
        mode,
    };
    let mut workspace = home.fixture.workspace(&home.machine).unwrap();
    workspace.spec.binds.extend([
        bind("", "/opt/read/only", BindMode::ReadOnly),
        bind("tool", "/etc/one-file", BindMode::ReadOnly),
        bind("", "/root/.tools", BindMode::Overlay),
    ]);
    workspace
        .session(&home.machine, |session| {
            let seen =
                session.must("cat /opt/read/only/tool /etc/one-file /root/.tools/private/key")?;
            assert_eq!(seen, "a\na\nb\n");
            let line = "echo x > /opt/read/only/tool || echo x > /opt/read/only/new || \
                        echo x > /etc/one-file || rm /opt/read/only/tool";
            assert!(!session.run(line)?.ok(), "a read-only bind was written");
            session.must("cd /root/.tools && echo x > tool && rm -r private && echo y > new")?;
            Ok(())
        })
        .unwrap();
    assert_eq!(fs::read_to_string(shown.join("tool")).unwrap(), "a\n");
    assert!(shown.join("private/key").exists() && !shown.join("new").exists());
    // Another order of binds does not mix up whose changes are whose.
    workspace.spec.binds.reverse();
    workspace
        .session(&home.machine, |session| {
            assert_eq!(session.must("cd /root/.tools && cat tool new && ls")?, "x\ny\nnew\ntool\n");
            Ok(())
        })
        .unwrap();
    home.machine.end(workspace.directory()).unwrap();
}
