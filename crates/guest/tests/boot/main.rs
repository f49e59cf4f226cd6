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
        "ls /proc/1/fd/",
        "ls /proc/1/root/",
        "test -s /proc/kcore",
        "test -s /proc/kallsyms",
        "dmesg",
        "chroot /proc/1/root true",
        "python3 -c 'import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))'",
        "python3 -c 'import ctypes; c=ctypes.CDLL(None); exit(c.reboot(0x4321fedc)==0)' && exit 1 || exit 1",
    ] {
        let said = vm.run(refused);
        assert_ne!(said.end.exit_code, Some(0), "{refused}: {said:?}");
    }
    // The classic way out of a root: there is nothing outside of it.
    let escape = "mkdir -p /tmp/x; python3 -c 'import os\n\
                  os.chroot(\"/tmp/x\")\n\
                  for _ in range(64): os.chdir(\"..\")\n\
                  os.chroot(\".\")\n\
                  print(sorted(n for n in os.listdir(\"/\") if n in (\"init\", \"modules\", \"env\", \"parking\", \"stage\", \"etc\")))'";
    assert_eq!(vm.output(escape), "['etc']\n");
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
    let said = vm.run("for n in $(seq 400); do sleep 30 & done; echo all; kill $(jobs -p)");
    assert!(said.stderr.contains("fork"), "{said:?}");
    assert_eq!(vm.output("echo alive"), "alive\n");
    let said = vm.run("python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 20))'");
    assert_eq!(
        said.end.exit_code.or(said.end.signal),
        Some(137).or(Some(9)).filter(|_| said.end.exit_code.is_some()).or(Some(9)),
        "{said:?}"
    );
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
