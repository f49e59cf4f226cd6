//! A VM's life with a real kernel: restored clones, commands, and each of its ends.

use std::time::Instant;

use pyro_model::{ExecId, ExecState, OutputStream};
use pyro_protocol::{
    GuestMessage, HostMessage,
    exec::{ExecStart, Finished, Follow, Program},
    launch::Cgroup,
    spool::{Record, StopReason, kept_pieces, output_file},
    vm::{Accelerator, Begin, Identity, VmLaunch, VmReport},
};

use crate::real::{PATIENCE, Vm, alive, ground, signal, skip};

pub(crate) fn shell(id: u64, line: &str) -> ExecStart {
    ExecStart {
        exec: ExecId::from_random(id.to_le_bytes()),
        line: line.to_owned(),
        program: Program::Shell(line.to_owned()),
        cwd: "/workspace".to_owned(),
        environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        stdin: None,
        timeout_ms: 60_000,
        kept_bytes: 1 << 20,
        follow: Follow::Output { stdout: 0, stderr: 0 },
        at_ms: 0,
    }
}

/// Runs one command to its end: what it wrote to stdout, and the end.
pub(crate) fn run(guest: &mut pyro_machine::Guest, start: ExecStart) -> (Vec<u8>, Finished) {
    let call = guest.send(HostMessage::Exec(Box::new(start))).unwrap();
    let mut out = Vec::new();
    loop {
        match guest.receive(call, Some(Instant::now() + PATIENCE), None).unwrap() {
            GuestMessage::Started { .. } => {}
            GuestMessage::Output { stream, bytes, .. } => {
                let granted = u32::try_from(bytes.len()).unwrap();
                guest.send_on(call, HostMessage::Credit { bytes: granted }).unwrap();
                if stream == OutputStream::Stdout {
                    out.extend_from_slice(&bytes);
                }
            }
            GuestMessage::Finished(finished) => return (out, finished),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn two_clones_run_commands_and_differ() {
    let Some(ground) = ground() else { return };
    let began = Instant::now();
    let first = Vm::restored(ground);
    println!("ready after {:?}", began.elapsed());
    let second = Vm::restored(ground);
    let mut seen = Vec::new();
    for vm in [&first, &second] {
        let mut guest = vm.connect();
        assert_eq!(guest.boot(), [7; 16]);
        let (out, finished) = run(&mut guest, shell(1, "head -c16 /dev/urandom | od -An -tx1"));
        println!("first command after {:?}", began.elapsed());
        assert_eq!(finished.state, ExecState::Exited, "{finished:?}");
        seen.push(out);
    }
    assert_ne!(seen[0], seen[1]);
    let records = first.records();
    assert!(matches!(records[0], Record::MachineStarted { boot: [7, ..], .. }), "{records:?}");
    assert!(matches!(&records[1], Record::ExecStarted { line, .. } if line.contains("urandom")));
    assert!(matches!(&records[2], Record::ExecFinished { finished, .. }
        if finished.stdout_bytes == seen[0].len() as u64));
}

#[test]
fn an_end_that_pyro_asks_for_keeps_what_was_written() {
    let Some(ground) = ground() else { return };
    let vm = Vm::restored(ground);
    let (_, finished) = run(&mut vm.connect(), shell(1, "echo kept > file"));
    assert_eq!(finished.exit_code, Some(0));
    let (monitor, _) = vm.processes();
    signal(monitor, 15);
    vm.gone();
    let reason = StopReason::Asked;
    assert!(matches!(vm.records().last(),
        Some(Record::MachineStopped { reason: said, .. }) if *said == reason));
    let disk = vm.folder.path().join("disk");
    // Older than this start: not the one that the template's memory has mounted.
    let again = Vm::restored_with(ground, |launch| {
        launch.own = vec![disk, ground.blank.clone()];
        launch.disk[0].clone_from(&ground.disk);
        launch.awaken.own = true;
    });
    let (out, _) = run(&mut again.connect(), shell(2, "cat file"));
    assert_eq!(out, b"kept\n");
}

#[test]
fn each_side_ends_with_the_other() {
    let Some(ground) = ground() else { return };
    for victim in [0, 1] {
        let vm = Vm::restored(ground);
        let (monitor, qemu) = vm.processes();
        signal(if victim == 0 { monitor } else { qemu }, 9);
        vm.gone();
        let last = vm.records().pop();
        let failed = matches!(&last, Some(Record::MachineFailed { why, .. })
            if why == "signal 9 ended QEMU");
        assert_eq!(failed, victim == 1, "{last:?}");
        assert!(!alive(monitor));
    }
}

#[test]
fn a_shutdown_is_answered_and_ends_everything() {
    let Some(ground) = ground() else { return };
    let vm = Vm::restored(ground);
    let mut guest = vm.connect();
    assert_eq!(guest.ask(HostMessage::Shutdown, PATIENCE, None).unwrap(), GuestMessage::Done);
    vm.gone();
    assert!(matches!(
        vm.records().last(),
        Some(Record::MachineStopped { reason: StopReason::Asked, .. })
    ));
}

#[test]
fn one_that_cannot_start_says_why_and_leaves_nothing() {
    let Some(ground) = ground() else { return };
    let mut vm = Vm::launch(ground, ground.restore(), |launch| launch.memory_mib = 256);
    let report = vm.report();
    assert!(matches!(&report, VmReport::Failed { .. }), "{report:?}");
    println!("{report:?}");
    vm.gone();
    let mut vm = Vm::launch(ground, ground.restore(), |launch| launch.qemu = "/bin/false".into());
    let report = vm.report();
    assert!(matches!(&report, VmReport::Failed { .. }), "{report:?}");
    vm.gone();
}

/// Memory that only this process has, in KiB: what it has in common with the template's file is
/// the host's to keep or drop.
fn private_kib(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let dirty = text.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap();
    dirty.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_idle_clone_is_small() {
    let Some(ground) = ground() else { return };
    let mut ready = Vec::new();
    let mut all = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let vm = Vm::restored(ground);
        let answered = began.elapsed();
        let (out, _) = run(&mut vm.connect(), shell(1, "echo here"));
        assert_eq!(out, b"here\n");
        ready.push((answered, began.elapsed()));
        let (monitor, qemu) = vm.processes();
        let (monitor, qemu) = (private_kib(monitor), private_kib(qemu));
        println!("private: M {monitor} KiB, Q {qemu} KiB");
        assert!(monitor + qemu < 80 << 10, "{monitor} and {qemu} KiB");
        all.push(vm);
    }
    println!("ready and first command after {ready:?}");
}

#[test]
fn somebody_who_is_not_root_has_a_vm_too() {
    let Some(ground) = ground() else { return };
    let Begin::MakeTemplate { kernel, initramfs, .. } = ground.making() else { return };
    let user = 54_321;
    let mut vm = Vm::launch(ground, Begin::Cold { kernel, initramfs }, |launch| {
        launch.identity = Identity { uid: user, gid: user };
        launch.memory_mib = 256;
    });
    let report = vm.report();
    assert!(matches!(report, VmReport::Ready { .. }), "{report:?}");
    let (monitor, qemu) = vm.processes();
    for pid in [monitor, qemu] {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains(&format!("Uid:\t{user}\t{user}\t{user}\t{user}\n")), "{status}");
        assert!(status.contains("CapEff:\t0000000000000000\n"), "{status}");
    }
    let (out, _) = run(&mut vm.connect(), shell(1, "id -u"));
    assert_eq!(out, b"0\n");
    signal(monitor, 15);
    vm.gone();
}

#[test]
fn a_start_that_nobody_waits_for_ends() {
    let Some(ground) = ground() else { return };
    for signalled in [false, true] {
        let mut vm = Vm::launch(ground, ground.restore(), |_| {});
        // The lock is signed once Q exists.
        let lock = vm.folder.path().join("lock");
        let until = Instant::now() + PATIENCE;
        while std::fs::read_to_string(&lock).unwrap().lines().count() < 2 {
            assert!(Instant::now() < until, "Q is not there");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if signalled {
            signal(vm.processes().0, 15);
        } else {
            vm.hang_up();
        }
        vm.gone();
    }
}

#[test]
fn a_probe_says_whether_a_vm_boots_here() {
    let Some(ground) = ground() else { return };
    let Begin::MakeTemplate { kernel, initramfs, .. } = ground.making() else { return };
    let bare = |launch: &mut VmLaunch| {
        launch.environment = None;
        launch.disk = Vec::new();
        launch.placeholder = None;
        launch.memory_mib = 256;
    };
    let begin = Begin::Probe { kernel, initramfs };
    let mut vm = Vm::launch(ground, begin.clone(), bare);
    assert!(matches!(vm.report(), VmReport::Made { boot_ms: 1.. }));
    vm.gone();
    // Whether the processor's way works here or not: there is an answer, and nothing is left.
    let began = Instant::now();
    let mut vm = Vm::launch(ground, begin, |launch| {
        bare(launch);
        launch.accelerator = Accelerator::Kvm;
    });
    println!("with /dev/kvm: {:?} after {:?}", vm.report(), began.elapsed());
    if std::fs::metadata(vm.folder.path().join("lock")).unwrap().len() > 0 {
        vm.gone();
    }
}

#[test]
fn a_flood_is_counted_and_both_its_ends_are_kept() {
    let Some(ground) = ground() else { return };
    let vm = Vm::restored(ground);
    let mut start = shell(1, "echo first; head -c 4000000 /dev/zero; echo last");
    start.kept_bytes = 100_000;
    start.follow = Follow::End;
    let began = Instant::now();
    let (_, finished) = run(&mut vm.connect(), start);
    println!("4 MB after {:?}", began.elapsed());
    assert_eq!(finished.stdout_bytes, 4_000_011);
    let name = output_file(&finished.exec, OutputStream::Stdout);
    let kept = std::fs::read(vm.folder.path().join("spool").join(name)).unwrap();
    assert_eq!(kept.len(), 100_000);
    assert!(kept.starts_with(b"first\n"));
    let pieces = kept_pieces(finished.stdout_bytes, 100_000);
    let (_, at, length) = *pieces.last().unwrap();
    assert!(kept[..(at + length) as usize].ends_with(b"last\n"));
}

#[test]
fn its_cgroup_holds_qemu_alone_and_goes_with_it() {
    let Some(ground) = ground() else { return };
    let (parent, unified) = [("/sys/fs/cgroup/pids", false), ("/sys/fs/cgroup", true)]
        .into_iter()
        .find(|(path, unified)| {
            let file = if *unified { "cgroup.controllers" } else { "tasks" };
            std::path::Path::new(path).join(file).exists()
        })
        .unwrap_or_default();
    let directory = std::path::Path::new(parent).join(format!("pyro-{}", std::process::id()));
    if parent.is_empty() || std::fs::create_dir(&directory).is_err() {
        return skip("monitor_cgroup", "no cgroup can be made here");
    }
    std::fs::remove_dir(&directory).unwrap();
    let cgroup = Cgroup { directory: directory.clone(), unified, writes: Vec::new() };
    let vm = Vm::restored_with(ground, |launch| launch.cgroups = vec![cgroup]);
    let (monitor, qemu) = vm.processes();
    let inside = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap();
    assert_eq!(inside, format!("{qemu}\n"), "{monitor} stays outside");
    let lock = std::fs::read_to_string(vm.folder.path().join("lock")).unwrap();
    assert_eq!(lock.lines().nth(2), directory.to_str());
    signal(qemu, 9);
    vm.gone();
    assert!(!directory.exists());
}
