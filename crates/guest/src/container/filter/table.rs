//! Which system calls the workload may make. Data only; `filter` says what the verdicts mean.
//!
//! The allowed ones are what container runtimes allow by default to a workload without
//! `CAP_SYS_ADMIN`. A call in neither table answers `ENOSYS`, so that programs fall back to older
//! calls. To allow a new call: add its line; `refused` is for calls whose absence programs must not
//! mistake for an old kernel.

use super::Verdict::{
    self, Allow, Family, Namespaces, NamespacesByClone, OwnLimits, Personality, Refuse,
};

macro_rules! calls {
    ($verdict:expr => $($name:ident)+) => {
        &[$((libc::$name, $verdict)),+]
    };
}

/// One group of calls with the same verdict.
pub(super) type Group = &'static [(libc::c_long, Verdict)];

/// Files and directories.
const FILES: Group = calls! { Allow =>
    SYS_chdir SYS_close SYS_close_range SYS_copy_file_range SYS_dup SYS_dup3 SYS_faccessat
    SYS_faccessat2 SYS_fadvise64 SYS_fallocate SYS_fchdir SYS_fchmod SYS_fchmodat SYS_fchmodat2
    SYS_fchown SYS_fchownat SYS_fcntl SYS_fdatasync SYS_fgetxattr SYS_flistxattr SYS_flock
    SYS_fremovexattr SYS_fsetxattr SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate SYS_getcwd
    SYS_getdents64 SYS_getxattr SYS_inotify_add_watch SYS_inotify_init1 SYS_inotify_rm_watch
    SYS_ioctl SYS_lgetxattr SYS_linkat SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek
    SYS_lsetxattr SYS_memfd_create SYS_mkdirat SYS_mknodat SYS_newfstatat SYS_openat SYS_openat2
    SYS_pipe2 SYS_pread64 SYS_preadv SYS_preadv2 SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_read
    SYS_readahead SYS_readlinkat SYS_readv SYS_removexattr SYS_renameat SYS_renameat2 SYS_sendfile
    SYS_setxattr SYS_splice SYS_statfs SYS_statx SYS_symlinkat SYS_sync SYS_sync_file_range
    SYS_syncfs SYS_tee SYS_truncate SYS_umask SYS_unlinkat SYS_utimensat SYS_vmsplice SYS_write
    SYS_writev SYS_chroot
};

/// Waiting and events.
const EVENTS: Group = calls! { Allow =>
    SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_io_cancel
    SYS_io_destroy SYS_io_getevents SYS_io_setup SYS_io_submit SYS_ppoll SYS_pselect6
    SYS_signalfd4 SYS_timerfd_create SYS_timerfd_gettime SYS_timerfd_settime
};

/// Memory.
const MEMORY: Group = calls! { Allow =>
    SYS_brk SYS_get_mempolicy SYS_madvise SYS_mbind SYS_membarrier SYS_memfd_secret SYS_mincore
    SYS_mlock SYS_mlock2 SYS_mlockall SYS_mmap SYS_mprotect SYS_mremap SYS_msync SYS_munlock
    SYS_munlockall SYS_munmap SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_process_madvise
    SYS_process_mrelease SYS_remap_file_pages SYS_set_mempolicy SYS_set_mempolicy_home_node
};

/// Processes, threads, ids and signals. `ptrace` reaches only the same user's processes that let
/// it, and never the agent: the workload has no `CAP_SYS_PTRACE` and fewer capabilities.
const PROCESSES: Group = calls! { Allow =>
    SYS_capget SYS_capset SYS_execve SYS_execveat SYS_exit SYS_exit_group SYS_futex
    SYS_futex_waitv SYS_get_robust_list SYS_getcpu SYS_getegid SYS_geteuid SYS_getgid
    SYS_getgroups SYS_getpgid SYS_getpid SYS_getppid SYS_getpriority SYS_getresgid SYS_getresuid
    SYS_getrlimit SYS_getrusage SYS_getsid SYS_gettid SYS_getuid SYS_ioprio_get SYS_ioprio_set
    SYS_kcmp SYS_kill SYS_landlock_add_rule SYS_landlock_create_ruleset SYS_landlock_restrict_self
    SYS_pidfd_open SYS_pidfd_send_signal SYS_prctl SYS_ptrace SYS_restart_syscall
    SYS_rseq SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask SYS_rt_sigqueueinfo
    SYS_rt_sigreturn SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo
    SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_sched_getaffinity
    SYS_sched_getattr SYS_sched_getparam SYS_sched_getscheduler SYS_sched_rr_get_interval
    SYS_sched_setaffinity SYS_sched_setattr SYS_sched_setparam SYS_sched_setscheduler
    SYS_sched_yield SYS_seccomp SYS_set_robust_list SYS_set_tid_address SYS_setfsgid SYS_setfsuid
    SYS_setgid SYS_setgroups SYS_setpgid SYS_setpriority SYS_setregid SYS_setresgid SYS_setresuid
    SYS_setreuid SYS_setrlimit SYS_setsid SYS_setuid SYS_sigaltstack SYS_sysinfo SYS_tgkill
    SYS_times SYS_tkill SYS_uname SYS_wait4 SYS_waitid
};

/// Sockets, once made, and System V objects of the own ipc namespace.
const TALK: Group = calls! { Allow =>
    SYS_accept SYS_accept4 SYS_bind SYS_connect SYS_getpeername SYS_getsockname SYS_getsockopt
    SYS_listen SYS_mq_getsetattr SYS_mq_notify SYS_mq_open SYS_mq_timedreceive SYS_mq_timedsend
    SYS_mq_unlink SYS_msgctl SYS_msgget SYS_msgrcv SYS_msgsnd SYS_recvfrom SYS_recvmmsg
    SYS_recvmsg SYS_semctl SYS_semget SYS_semop SYS_semtimedop SYS_sendmmsg SYS_sendmsg
    SYS_sendto SYS_setsockopt SYS_shmat SYS_shmctl SYS_shmdt SYS_shmget SYS_shutdown
    SYS_socketpair
};

/// Clocks and chance.
const TIME: Group = calls! { Allow =>
    SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_getitimer SYS_getrandom
    SYS_gettimeofday SYS_nanosleep SYS_setitimer SYS_timer_create SYS_timer_delete
    SYS_timer_getoverrun SYS_timer_gettime SYS_timer_settime SYS_adjtimex SYS_clock_adjtime
};

/// Allowed for some arguments only. `clone3` is in no table: a filter cannot see its flags, and
/// C libraries fall back to `clone`.
const CHECKED: Group = &[
    (libc::SYS_clone, NamespacesByClone),
    (libc::SYS_unshare, Namespaces),
    (libc::SYS_socket, Family),
    (libc::SYS_personality, Personality),
    (libc::SYS_prlimit64, OwnLimits),
];

/// Answer `EPERM`.
const REFUSED: Group = calls! { Refuse =>
    SYS_acct SYS_add_key SYS_bpf SYS_clock_settime SYS_delete_module SYS_fanotify_init
    SYS_fanotify_mark SYS_finit_module SYS_fsconfig SYS_fsmount SYS_fsopen SYS_fspick
    SYS_init_module SYS_io_uring_enter SYS_io_uring_register SYS_io_uring_setup SYS_kexec_load
    SYS_keyctl SYS_lookup_dcookie SYS_mount SYS_mount_setattr SYS_move_mount SYS_move_pages
    SYS_migrate_pages SYS_name_to_handle_at SYS_open_by_handle_at SYS_open_tree
    SYS_perf_event_open SYS_pidfd_getfd SYS_pivot_root SYS_process_vm_readv SYS_process_vm_writev
    SYS_quotactl SYS_quotactl_fd SYS_reboot SYS_request_key SYS_setdomainname SYS_sethostname
    SYS_setns SYS_settimeofday SYS_swapoff SYS_swapon SYS_syslog SYS_umount2 SYS_userfaultfd
    SYS_vhangup
};

/// Older names of the above, which newer architectures never had.
#[cfg(target_arch = "x86_64")]
const OLDER: Group = calls! { Allow =>
    SYS_access SYS_alarm SYS_arch_prctl SYS_chmod SYS_chown SYS_creat SYS_dup2 SYS_epoll_create
    SYS_epoll_wait SYS_eventfd SYS_fork SYS_futimesat SYS_getdents SYS_getpgrp SYS_inotify_init
    SYS_lchown SYS_link SYS_lstat SYS_mkdir SYS_mknod SYS_open SYS_pause SYS_pipe SYS_poll
    SYS_readlink SYS_rename SYS_rmdir SYS_select SYS_signalfd SYS_stat SYS_symlink SYS_time
    SYS_unlink SYS_utime SYS_utimes SYS_vfork
};
#[cfg(target_arch = "x86_64")]
const OLDER_REFUSED: Group = calls! { Refuse =>
    SYS_ioperm SYS_iopl SYS_kexec_file_load SYS_modify_ldt
    SYS_nfsservctl SYS_uselib SYS_ustat
};
#[cfg(not(target_arch = "x86_64"))]
const OLDER: Group = &[];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_REFUSED: Group = &[];

/// Everything above.
pub(super) const ALL: &[Group] =
    &[FILES, EVENTS, MEMORY, PROCESSES, TALK, TIME, CHECKED, REFUSED, OLDER, OLDER_REFUSED];
