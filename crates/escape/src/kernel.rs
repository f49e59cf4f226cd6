//! The kernel's own files: nothing of the whole machine is written, little of it is read.

use crate::{Place, probe::python};

pub(super) fn kernel(place: &Place<'_>) {
    place.session(|session| {
        let seen = python(
            session,
            "
for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe', '/proc/sys/vm/drop_caches',
             '/proc/sys/fs/binfmt_misc/register', '/proc/sys/kernel/hostname', '/proc/sysrq-trigger',
             '/proc/sys/net/ipv4/ip_forward', '/proc/sys/kernel/shmmax', '/proc/irq/default_smp_affinity',
             '/proc/sys/kernel/ns_last_pid', '/proc/sys/user/max_user_namespaces', '/proc/self/uid_map',
             '/proc/self/setgroups', '/proc/mtrr', '/proc/bus/pci/devices'):
    answer = opened(path, os.O_WRONLY)
    if answer == 'opened' and os.stat(path).st_rdev == os.makedev(1, 3): answer = 'null'
    elif answer == 'opened':
        try:
            with open(path, 'w') as file: file.write('1')
            answer = 'written'
        except OSError as error: answer = 'write ' + errno.errorcode[error.errno]
    print(path, answer)
for path in ('/proc/kcore', '/proc/kallsyms', '/proc/keys', '/proc/timer_list', '/proc/kmsg', '/proc/interrupts'):
    try: text = open(path, 'rb').read(64)
    except OSError as error: text = b''
    print('read', path, len(text))
print('sys', os.listdir('/sys'))
print('acpi', os.path.exists('/proc/acpi') and os.listdir('/proc/acpi'))
print('syslog', call(103, 3, ctypes.create_string_buffer(64), 64))
print('hostname', call(170, b'x', 1))
print('clock', call(227, 0, ctypes.create_string_buffer(16)))
print('bpf', call(321, 0, 0, 0), 'perf', call(298, 0, 0, -1, -1, 0), 'uffd', call(323, 0))
print('ring', call(425, 1, ctypes.create_string_buffer(128)), 'module', call(175, b'', 0, b''))
print('kexec', call(246, 0, 0, 0, 0), 'reboot', call(169, 0, 0, 0, 0), 'swap', call(167, b'/x', 0))
print('x32', call(0x40000000 + 39), 'unknown', call(600))
",
        );
        for line in seen.lines().filter(|line| line.starts_with("/proc")) {
            let answer = line.split_once(' ').unwrap().1;
            assert!(
                ["EROFS", "EACCES", "EPERM", "ENOENT", "write EPERM", "write EROFS", "null"]
                    .contains(&answer),
                "{line}"
            );
        }
        for line in seen.lines().filter(|line| line.starts_with("read")) {
            assert!(line.ends_with(" 0"), "{line}");
        }
        let refused = "syslog -1\nhostname -1\nclock -1\nbpf -1 perf -1 uffd -1\nring -1 module -1\n\
                       kexec -1 reboot -1 swap -1\nx32 -38 unknown -38\n";
        assert!(seen.ends_with(refused), "{seen}");
        assert!(seen.contains("sys []\n"), "{seen}");
        assert!(seen.contains("acpi []\n") || seen.contains("acpi False\n"), "{seen}");
    });
}
