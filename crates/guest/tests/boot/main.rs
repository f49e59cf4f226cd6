//! `pyro-guest` as process 1 of a real machine: booted cold by QEMU, emulated, with a real kernel.
#![expect(clippy::unwrap_used, reason = "a test may fail and say why")]
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

mod kit;
mod vm;

use kit::Kit;
use pyro_protocol::{
    GuestMessage, HostMessage,
    spool::{Record, StopReason},
    vm::{FromVm, ToVm},
};
use vm::{Vm, awaken, now_us};

#[test]
fn a_machine_lives_from_awakening_to_shutdown() {
    let Some(kit) = Kit::find("boot") else { return };
    let mut vm = Vm::awake(&kit, awaken());
    println!("waiting after {:?}, awake after {:?}", vm.times.0, vm.times.1);
    assert_eq!(vm.output("hostname; pwd"), "wonderland\n/workspace\n");
    let ids = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a\nc3c3c3c3-c3c3-c3c3-c3c3-c3c3c3c3c3c3\n";
    assert_eq!(vm.output("cat /etc/machine-id /proc/sys/kernel/random/boot_id"), ids);
    assert_eq!(vm.output("cat both top bottom"), "seed0\nseed0\nseed1\n");
    assert_eq!(vm.output("mv both moved; mkdir d; echo x > d/f; rm top; ls"), "bottom\nd\nmoved\n");
    assert_eq!(vm.output("cat /proc/1/comm; ls /"), vm.output("echo init; ls -d /* | cut -c2-"));
    let said = vm.run("echo out; echo err >&2; exit 3");
    assert_eq!((&*said.stdout, &*said.stderr, said.end.exit_code), ("out\n", "err\n", Some(3)));
    assert!(matches!(vm.records[0], Record::MachineStarted { boot, .. } if boot == [7; 16]));

    let said = vm.ask(HostMessage::Status);
    assert!(matches!(said, GuestMessage::Status(status) if status.processes == 0));
    vm.say(&ToVm::Sync);
    assert_eq!(vm.hear(), FromVm::Synced);

    let call = vm.call(HostMessage::Shutdown);
    loop {
        match vm.hear() {
            FromVm::Guest(frame) if frame.call == call => {
                assert_eq!(frame.message, GuestMessage::Done);
                break;
            }
            FromVm::Logged(record) => vm.records.push(record),
            other => panic!("unexpected {other:?}"),
        }
    }
    let last = vm.records.last();
    assert!(matches!(last, Some(Record::MachineStopped { reason: StopReason::Asked, .. })));
    assert_eq!(vm.hear(), FromVm::Ended);
    vm.hang_up();
    vm.ended();
    // Written to the disk, as the host can see without the machine.
    let disk = vm.folder.path().join("disk");
    let listed = std::process::Command::new("debugfs")
        .args(["-R", "cat /tree/upper/d/f"])
        .arg(disk)
        .output()
        .unwrap();
    assert_eq!(listed.stdout, b"x\n");
}

#[test]
fn the_clock_follows_the_host() {
    let Some(kit) = Kit::find("clock") else { return };
    let mut vm = Vm::awake(&kit, awaken());
    let guest = |text: String| text.trim().parse::<u64>().unwrap();
    let shown = guest(vm.output("date +%s"));
    assert!(shown.abs_diff(now_us() / 1_000_000) <= 2, "{shown}");
    let later = now_us() / 1_000 + 3_600_000;
    let shown = guest(vm.run_at("date +%s", later).stdout);
    assert!(shown.abs_diff(later / 1_000) <= 2, "{shown}");
    let earlier = now_us() - 7_200_000_000;
    vm.say(&ToVm::Clock { at_us: earlier });
    let shown = guest(vm.run_at("date +%s", earlier / 1_000).stdout);
    assert!(shown.abs_diff(earlier / 1_000_000) <= 2, "{shown}");
    // Nobody is left to end it: it ends by itself, whatever runs.
    vm.call(HostMessage::Status);
    vm.hang_up();
    vm.ended();
}

#[test]
fn commands_reach_nothing_of_the_machine() {
    let Some(kit) = Kit::find("reach") else { return };
    let mut vm = Vm::awake(&kit, awaken());
    assert_eq!(
        vm.output("ls /dev | tr '\\n' ' '"),
        "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero "
    );
    assert_eq!(
        vm.output("ls -A /sys | wc -l; ls -d /init /modules /env /parking 2>/dev/null | wc -l"),
        "0\n0\n"
    );
    for refused in [
        "mknod /tmp/vda b 254 0",
        "mount -t proc none /mnt",
        "mount -o remount,rw /proc/sys",
        "umount /etc/machine-id",
        "umount /proc/sys/kernel/random/boot_id",
        "umount -l /workspace",
        "unshare -m true",
        "unshare -U true",
        "date -s 2001-01-01",
        "hostname other",
        "echo 1 > /proc/sys/kernel/panic",
        "echo '|/bin/sh' > /proc/sys/kernel/core_pattern",
        "echo c > /proc/sysrq-trigger",
        "echo -1000 > /proc/self/oom_score_adj",
        "cat /proc/1/environ",
        "for f in /proc/1/fd/*; do readlink $f && exit 0; done; exit 1",
        "for f in /proc/1/fd/*; do head -c 1 $f >/dev/null && exit 0; done; exit 1",
        "for f in /proc/1/fd/*; do echo > $f && exit 0; done; exit 1",
        "head -c 1 /proc/1/mem",
        "cat /proc/1/maps | grep .",
        "ls /proc/1/root/",
        "test -s /proc/kcore",
        "test -s /proc/kallsyms",
        "dmesg",
        "chroot /proc/1/root true",
        // reboot, init_module, iopl, keyctl, bpf, open_by_handle_at: by number, on this processor.
        "perl -e 'exit syscall(169, 0xfee1dead, 672274793, 0x1234567, 0)'",
        "perl -e 'exit syscall(175, 0, 0, 0)'",
        "perl -e 'exit syscall(172, 3)'",
        "perl -e 'exit syscall(250, 0, -3, 1)'",
        "perl -e 'exit syscall(321, 0, 0, 0)'",
        "perl -e 'exit syscall(304, 0, 0, 0)'",
    ] {
        let said = vm.run(refused);
        assert_ne!(said.end.exit_code, Some(0), "{refused}: {said:?}");
    }
    // The classic way out of a root: there is nothing outside of it.
    let escape = "mkdir -p /tmp/x; perl -e 'chroot \"/tmp/x\"; chdir \"..\" for 1..64; \
                  chroot \".\"; print join \" \", grep -e \"/$_\", \
                  qw(init modules env parking stage etc)'";
    assert_eq!(vm.output(escape), "etc");
    assert_eq!(vm.output("kill -9 1; kill -STOP 1; kill -TERM 1; echo still here"), "still here\n");
    assert_eq!(
        vm.output("grep -E 'NoNewPrivs|CapEff|Seccomp:' /proc/self/status"),
        "CapEff:\t00000000800405fb\nNoNewPrivs:\t1\nSeccomp:\t2\n"
    );
}

#[test]
fn what_runs_out_ends_commands_and_not_the_machine() {
    let Some(kit) = Kit::find("limits") else { return };
    let mut vm = Vm::awake(&kit, awaken());
    // What is forked is ended again, or no further command could start: that is the bound's work.
    let bomb = "perl -e 'while (defined($p = fork)) { if (!$p) { sleep 99; exit } push @p, $p } \
                print @p > 150 && @p < 200, \" \", $!+0; kill 9, @p'";
    assert_eq!(vm.output(bomb), "1 11");
    assert_eq!(vm.output("echo alive"), "alive\n");
    let said = vm.run("tail /dev/zero");
    let killed = said.end.signal == Some(9) || said.end.exit_code == Some(137);
    assert!(killed, "{said:?}");
    assert_eq!(vm.output("echo alive"), "alive\n");
    let said = vm.run("head -c 300M /dev/zero > big");
    assert!(said.stderr.contains("No space left"), "{said:?}");
    let said = vm.run("head -c 300M /dev/zero > /var/tmp/big");
    assert!(said.stderr.contains("No space left"), "{said:?}");
    assert_eq!(vm.output("rm big /var/tmp/big; echo alive"), "alive\n");
    let flood = vm.run("yes | head -c 20000000");
    assert_eq!(flood.stdout.len(), 20_000_000);
}

#[test]
fn a_machine_that_cannot_be_awakened_says_why_and_ends() {
    let Some(kit) = Kit::find("failure") else { return };
    let mut vm = Vm::boot(&kit);
    let mut wrong = awaken();
    wrong.entropy.clear();
    vm.say(&ToVm::Awaken(Box::new(wrong)));
    let FromVm::Failed { step, what, errno } = vm.hear() else { panic!() };
    assert_eq!((&*step, &*what, errno), ("feed", "the random number generator", 0));
    vm.ended();
    assert!(vm.console().contains("pyro: failed to feed"), "{}", vm.console());
}
