//! What a VM is given is what was asked for, and what it cannot be given is refused.

use pyro_machine::{Machine, MachineError, MachineSpec};
use pyro_model::{Bind, BindMode};

use crate::support::Home;

pub(crate) fn sizes(home: &Home) {
    let mut workspace = home.fixture.workspace(&home.machine).unwrap();
    let limits = &mut workspace.spec.limits;
    (limits.cpus, limits.memory_mib, limits.disk_mib) = (1, 256, Some(128));
    workspace
        .session(&home.machine, |session| {
            let seen = session.must(
                "nproc; awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo; \
                 df -m / | awk 'NR == 2 { print $2 }'",
            )?;
            let seen: Vec<u64> = seen.lines().map(|line| line.parse().unwrap()).collect();
            assert_eq!(seen[0], 1);
            assert!((150..256).contains(&seen[1]), "{seen:?} MiB of memory");
            assert!((80..128).contains(&seen[2]), "{seen:?} MiB of disk");
            Ok(())
        })
        .unwrap();
}

pub(crate) fn refused(home: &Home) {
    let bind = Bind { source: "/usr".into(), target: "/usr".into(), mode: BindMode::ReadOnly };
    let mut workspace = home.fixture.workspace(&home.machine).unwrap();
    let unsupported = |spec: &MachineSpec| {
        let error = home.machine.start(spec).unwrap_err();
        assert!(matches!(error, MachineError::Unsupported { .. }), "{error}");
        assert!(!home.machine.is_running(&spec.directory).unwrap());
    };
    workspace.spec.binds = vec![bind];
    unsupported(&workspace.spec);
    workspace.spec.binds.clear();
    workspace.spec.also_at = Some("/home/somebody".into());
    unsupported(&workspace.spec);
    workspace.spec.also_at = None;
    workspace.spec.limits.disk_mib = Some(1);
    unsupported(&workspace.spec);
    workspace.spec.limits.disk_mib = None;
    workspace.spec.root_lowers.push(home.fixture.home.clone());
    unsupported(&workspace.spec);
    workspace.spec.root_lowers.pop();
    workspace.session(&home.machine, |session| session.must("true").map(drop)).unwrap();
}
