//! The doctor's checks, and the verdict on KVM: had within its deadline, and remembered.

use std::time::{Duration, Instant};

use pyro_machine::{Machine, MachineError};
use pyro_machine_microvm::{MicrovmHome, MicrovmMachine, checks};

use crate::support::Home;

pub(crate) fn doctor(home: &Home) {
    let began = Instant::now();
    let verdict = home.machine.probe(true).unwrap();
    assert!(began.elapsed() < Duration::from_secs(15), "the probe took {:?}", began.elapsed());
    assert!(!verdict.reason.is_empty());
    let began = Instant::now();
    assert_eq!(home.machine.probe(false).unwrap(), verdict);
    assert!(began.elapsed() < Duration::from_secs(1), "it was not remembered");
    let rows = checks(&home.machine, false);
    for row in &rows {
        assert!(row.ok || row.name == "kvm", "{row:?}");
        assert!(row.ok || !row.mend.is_empty(), "{row:?} names no way to mend it");
    }
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names, ["qemu", "erofs_utils", "e2fsprogs", "microvm_kernel", "kvm", "microvm"]);
    assert_eq!(rows[4].ok, verdict.works);
    // Two at once: neither takes the other's guest for one that a crash left.
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| checks(&home.machine, false)));
        for rows in both.map(|one| one.join().unwrap()) {
            assert!(rows[5].ok, "{:?}", rows[5]);
        }
    });
}

pub(crate) fn no_kernel(home: &Home) {
    let places = MicrovmHome {
        directory: home.machine_directory().to_owned(),
        agent_directory: home.fixture.home.join("guest"),
    };
    let machine = MicrovmMachine::new(places, None).unwrap();
    let workspace = home.fixture.workspace(&machine).unwrap();
    match machine.start(&workspace.spec) {
        Err(MachineError::HostUnfit { check, mend, .. }) => {
            assert_eq!((check, mend.as_str()), ("microvm_kernel", "pyro env pull debian:12"));
        }
        other => panic!("{other:?}"),
    }
    let rows = checks(&machine, false);
    assert!(rows.iter().any(|row| row.name == "microvm_kernel" && !row.ok), "{rows:?}");
    assert!(rows.iter().any(|row| row.name == "microvm" && !row.ok), "{rows:?}");
}
