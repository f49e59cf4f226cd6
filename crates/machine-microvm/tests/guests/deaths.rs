//! Processes that die: neither the monitor nor QEMU outlives the other, a dead kernel is a stated
//! end, and the disk is kept.

use std::{fs, os::unix::fs::FileExt, path::Path};

use pyro_machine::{Machine, conformance::Session};
use pyro_protocol::spool::{EVENTS, Record, decode_records};

use crate::{Processes, ends, kill, processes, support::with_home};

/// Something written and synced, then `end_it`, then both processes must be gone, the record say
/// why (where somebody is left to write it), and the next machine have the file.
fn outlived_by_the_disk(end_it: impl FnOnce(&Processes), has_a_witness: bool) {
    with_home(|home| {
        let workspace = home.fixture.workspace(&home.machine).unwrap();
        for layer in &workspace.spec.root_lowers {
            home.machine.prepare_layer(layer).unwrap();
        }
        let started = home.machine.start(&workspace.spec).unwrap();
        let mut session = Session::new(started.stream).unwrap();
        session.must("echo kept > /workspace/kept; sync").unwrap();
        let running = session.begin("sleep 1000").unwrap();
        let both = processes(workspace.directory());
        end_it(&both);
        assert!(ends(&both.monitor.1), "the monitor lives on");
        assert!(ends(&both.qemu.1), "QEMU lives on");
        assert!(session.attach(running).is_err(), "the connection lives on");
        assert!(!home.machine.is_running(workspace.directory()).unwrap());
        let last = records(workspace.directory()).pop();
        if has_a_witness {
            assert!(matches!(last, Some(Record::MachineFailed { .. })), "{last:?}");
        }
        workspace
            .session(&home.machine, |session| {
                assert_eq!(session.must("cat /workspace/kept")?, "kept\n");
                Ok(())
            })
            .unwrap();
    });
}

fn records(directory: &Path) -> Vec<Record> {
    decode_records(&fs::read(directory.join("spool").join(EVENTS)).unwrap()).0
}

#[test]
fn a_killed_monitor_takes_qemu_along() {
    outlived_by_the_disk(|both| kill(&both.monitor.1), false);
}

#[test]
fn a_killed_qemu_takes_the_monitor_along() {
    outlived_by_the_disk(|both| kill(&both.qemu.1), true);
}

#[test]
fn a_kernel_that_dies_is_a_stated_end() {
    outlived_by_the_disk(|both| overwrite_memory(both.qemu.0), true);
}

/// Fills the guest's memory with nonsense, as its own kernel would see it.
fn overwrite_memory(qemu: i32) {
    let maps = fs::read_to_string(format!("/proc/{qemu}/maps")).unwrap();
    let range = |line: &str| -> Option<(u64, u64)> {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
    };
    let (from, to) = maps.lines().filter_map(range).max_by_key(|(from, to)| to - from).unwrap();
    let memory = fs::File::options().write(true).open(format!("/proc/{qemu}/mem")).unwrap();
    let nonsense = vec![0x0f; 1 << 20];
    // It dies somewhere on the way, and then there is nothing left to be written to.
    let mut at = from + (1 << 20);
    while at + (1 << 20) <= to && memory.write_all_at(&nonsense, at).is_ok() {
        at += 1 << 20;
    }
}
