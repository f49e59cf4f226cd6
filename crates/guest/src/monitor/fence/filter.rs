//! QEMU's system call filter: opening a file for writing is asked about, ways around that and
//! ways to the host's kernel that QEMU has no use for are refused, the rest is allowed.
//!
//! QEMU's own filter (`-sandbox`) comes on top of it and refuses new processes and new rights.

use pyro_sys::{seccomp::Instruction, seccomp_notify::ASK};

use crate::bpf::{
    ALLOW, JUMP_IF_ANY_BIT, JUMP_IF_AT_LEAST, JUMP_IF_EQUAL, NEW_NAMESPACES, REFUSE, UNKNOWN,
    beginning, give, jump, load_argument,
};

/// Calls by the numbers of x86's other instruction set begin here.
const OTHER_NUMBERS: u32 = 0x4000_0000;

/// Flags of an open that changes something.
const WRITES: u32 =
    (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND).unsigned_abs();

/// Their flags lie in memory, or they do what they do beside this filter: as on a kernel that has
/// not got them, so that QEMU and its libraries do without.
const ABSENT: [i64; 6] = [
    libc::SYS_openat2,
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
];

/// QEMU needs none of them, a broken-out guest might.
const REFUSED: [i64; 39] = [
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_kcmp,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_swapon,
    libc::SYS_acct,
    libc::SYS_quotactl,
];

/// What changes a file beside its bytes: its owner may do it through a descriptor that only reads,
/// and whoever is not root gives Q the id that owns the template and every image.
const CHANGES: [i64; 13] = [
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_linkat,
];

/// As `CHANGES`, by the names of older programs.
#[cfg(target_arch = "x86_64")]
const CHANGES_OF_OLD: [i64; 7] = [
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_link,
];

/// Newer than the libraries that name calls.
const SYS_FCHMODAT2: i64 = 452;

/// The filter.
#[must_use]
pub(super) fn program() -> Vec<Instruction> {
    let mut out = beginning().to_vec();
    out.extend([jump(JUMP_IF_AT_LEAST, OTHER_NUMBERS, 0, 1), give(UNKNOWN)]);
    #[cfg(target_arch = "x86_64")]
    out.extend(with_bits(libc::SYS_open, 1, WRITES, ASK));
    #[cfg(target_arch = "x86_64")]
    out.extend(always(libc::SYS_creat, REFUSE));
    out.extend(with_bits(libc::SYS_openat, 2, WRITES, ASK));
    out.extend(with_bits(libc::SYS_clone, 0, NEW_NAMESPACES, REFUSE));
    // With it a broken-out guest would outlive M.
    out.extend(when_equal(libc::SYS_prctl, libc::PR_SET_PDEATHSIG.unsigned_abs(), REFUSE));
    out.extend(ABSENT.into_iter().flat_map(|call| always(call, UNKNOWN)));
    out.extend(REFUSED.into_iter().chain(CHANGES).flat_map(|call| always(call, REFUSE)));
    #[cfg(target_arch = "x86_64")]
    out.extend(CHANGES_OF_OLD.into_iter().flat_map(|call| always(call, REFUSE)));
    out.push(give(ALLOW));
    out
}

/// This verdict when the argument has any of the bits, else allowed.
fn with_bits(call: i64, argument: u32, bits: u32, verdict: u32) -> [Instruction; 5] {
    [
        jump(JUMP_IF_EQUAL, number(call), 0, 4),
        load_argument(argument),
        jump(JUMP_IF_ANY_BIT, bits, 0, 1),
        give(verdict),
        give(ALLOW),
    ]
}

/// This verdict when the first argument is that, else allowed.
fn when_equal(call: i64, value: u32, verdict: u32) -> [Instruction; 5] {
    [
        jump(JUMP_IF_EQUAL, number(call), 0, 4),
        load_argument(0),
        jump(JUMP_IF_EQUAL, value, 0, 1),
        give(verdict),
        give(ALLOW),
    ]
}

fn always(call: i64, verdict: u32) -> [Instruction; 2] {
    [jump(JUMP_IF_EQUAL, number(call), 0, 1), give(verdict)]
}

/// No call has a number that does not fit; one that had would never be made.
fn number(call: i64) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf;

    fn ask(call: i64, arguments: [u32; 3]) -> u32 {
        bpf::ask(&program(), number(call), arguments)
    }

    #[test]
    fn only_opens_that_change_something_are_asked_about() {
        let flags = |flags: i32| [0, 0, flags.unsigned_abs()];
        assert_eq!(ask(libc::SYS_openat, flags(libc::O_RDONLY | libc::O_CLOEXEC)), ALLOW);
        for writes in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC, libc::O_TMPFILE]
        {
            let asked = ask(libc::SYS_openat, flags(writes | libc::O_CLOEXEC));
            assert_eq!(asked == ASK, writes != libc::O_TMPFILE, "{writes:o}");
        }
        assert_eq!(ask(libc::SYS_openat, flags(libc::O_TMPFILE | libc::O_RDWR)), ASK);
    }

    #[test]
    fn there_is_no_way_around_the_question() {
        assert_eq!(ask(libc::SYS_openat2, [0; 3]), UNKNOWN);
        assert_eq!(ask(libc::SYS_io_uring_setup, [0; 3]), UNKNOWN);
        assert_eq!(ask(libc::SYS_open_by_handle_at, [0; 3]), REFUSE);
        assert_eq!(bpf::ask_as(&program(), 0x4000_0003, 5, [0; 3]), UNKNOWN, "the 32-bit calls");
        assert_eq!(bpf::ask(&program(), OTHER_NUMBERS + 257, [0, 0, 2]), UNKNOWN, "x32");
        assert_eq!(ask(libc::SYS_clone, [0x003d_0f00, 0, 0]), ALLOW, "a thread");
        assert_eq!(ask(libc::SYS_clone, [0x1000_0000, 0, 0]), REFUSE);
        assert_eq!(ask(libc::SYS_read, [0; 3]), ALLOW);
    }

    #[test]
    fn files_that_are_only_read_cannot_be_changed_by_their_owner() {
        for call in [libc::SYS_fchmod, SYS_FCHMODAT2, libc::SYS_utimensat, libc::SYS_fsetxattr] {
            assert_eq!(ask(call, [0; 3]), REFUSE, "{call}");
        }
    }

    #[test]
    fn the_end_with_the_monitor_cannot_be_taken_back() {
        assert_eq!(ask(libc::SYS_prctl, [1, 0, 0]), REFUSE, "PR_SET_PDEATHSIG");
        assert_eq!(ask(libc::SYS_prctl, [15, 0, 0]), ALLOW, "PR_SET_NAME");
    }
}
