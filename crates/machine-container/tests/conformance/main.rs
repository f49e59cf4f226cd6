//! The container passes every suite of `pyro_machine::conformance`, and some of its own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test program: what the lint's own exception for tests does not see as one"
)]

#[path = "../support/mod.rs"]
mod support;

mod binds;
mod doctor;
mod left;
mod mapped;
mod toolchains;

use pyro_machine::conformance::{self, SUITES};
use support::{Home, for_everybody};

macro_rules! suites {
    ($($name:ident),+ $(,)?) => {
        $(fn $name(home: &Home) {
            conformance::check(stringify!($name), &home.machine, &home.fixture).unwrap();
        })+
        for_everybody!(
            $($name),+, killed_launcher, killed_agent, failed_start, other_ids, also_at, doctor, binds,
            mapped, toolchains, cargo, process_limit
        );

        #[test]
        fn every_suite_is_run() {
            let here = [$(stringify!($name)),+];
            assert_eq!(here.as_slice(), SUITES.iter().map(|suite| suite.0).collect::<Vec<_>>());
        }
    };
}

suites!(
    results,
    durable,
    many_clients,
    fresh,
    apart,
    reuse,
    busy,
    ends,
    idle,
    stopped,
    bounded,
    patched,
);

use binds::binds;
use doctor::doctor;
use left::{failed_start, killed_agent, killed_launcher};
use mapped::mapped;
use toolchains::{cargo, toolchains};

/// Other user ids work where they are promised, and fail cleanly where they are not.
fn other_ids(home: &Home) {
    let one = home.machine.ids().is_one();
    home.session(|session| {
        let line = "touch /tmp/f && chown 1000:1000 /tmp/f && stat -c %u /tmp/f && \
                    setpriv --reuid 1000 --regid 1000 --clear-groups id -u";
        let output = session.run(line).unwrap();
        if one {
            assert!(!output.ok() && output.stderr.contains("Invalid argument"), "{output:?}");
        } else {
            assert_eq!(output.stdout, "1000\n1000\n", "{output:?}");
        }
    });
}

/// The checkout's own path shows the same files as `/workspace`.
fn also_at(home: &Home) {
    let mut workspace = home.fixture.workspace(&home.machine).unwrap();
    workspace.spec.also_at = Some("/home/somebody/project".into());
    workspace
        .session(&home.machine, |session| {
            let seen = session.must(
                "echo a > /workspace/a && cd /home/somebody/project && cat a && echo b > b && \
                 cat /workspace/b && pwd",
            )?;
            assert_eq!(seen, "a\nb\n/home/somebody/project\n");
            Ok(())
        })
        .unwrap();
}

/// A hundred processes do not fit into forty, with a cgroup or without.
fn process_limit(home: &Home) {
    let mut workspace = home.fixture.workspace(&home.machine).unwrap();
    workspace.spec.limits.processes = 40;
    workspace
        .session(&home.machine, |session| {
            let line = "i=0; while [ $i -lt 100 ]; do sleep 5 & i=$((i+1)); done 2>&1";
            let output = session.run(line)?;
            assert!(!output.ok() && output.stdout.contains("fork"), "{output:?}");
            Ok(())
        })
        .unwrap();
}
