//! The workload's system call filter, assembled from `table` into a program for the kernel.
//!
//! The program is a binary search over ranges of call numbers with the same verdict, so that a
//! filter costs little to install (once for each command) and little to run. Calls of another
//! instruction set of the same processor, and calls in no table, answer `ENOSYS`.

mod table;

use pyro_sys::seccomp::Instruction;

use crate::bpf::{
    ALLOW, JUMP, JUMP_IF_ANY_BIT, JUMP_IF_AT_LEAST, JUMP_IF_EQUAL, NEW_NAMESPACES, REFUSE, UNKNOWN,
    beginning, fails_with, give, jump, load_argument,
};

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is made.
    Allow,
    /// `EPERM`.
    Refuse,
    /// `ENOSYS`.
    Unknown,
    /// `unshare`: `EPERM` with a namespace among the flags.
    Namespaces,
    /// `clone`: the same; the low byte of its flags is a signal.
    NamespacesByClone,
    /// `socket`: unix, IPv4, IPv6, and netlink's route protocol; others `EPERM`, and other
    /// netlink `EPROTONOSUPPORT`, which is what PAM takes for a kernel without audit.
    Family,
    /// `personality`: only the harmless ones, and asking.
    Personality,
    /// `prlimit64`: the caller's own; the agent has the same user id and is its neighbour.
    OwnLimits,
}

const FIRST_ARGUMENT: u32 = 0;
const THIRD_ARGUMENT: u32 = 2;

const NO_PROTOCOL: u32 = fails_with(libc::EPROTONOSUPPORT);

/// `CLONE_NEWTIME` is a signal's number to `clone`.
const NEW_TIME: u32 = 0x80;

/// Linux, 32 bits, no address randomisation (debuggers), both, and the question.
const PERSONALITIES: [u32; 6] = [0, 8, 0x2_0000, 0x2_0008, 0x4_0000, u32::MAX];

/// The filter of every command.
#[must_use]
pub(crate) fn program() -> Vec<Instruction> {
    let mut out = beginning().to_vec();
    out.extend(search(&ranges()));
    out
}

/// Ranges that cover every number: where each begins, and its verdict.
fn ranges() -> Vec<(u32, Verdict)> {
    let mut calls: Vec<(u32, Verdict)> = table::ALL
        .iter()
        .flat_map(|group| group.iter())
        .filter_map(|(number, verdict)| Some((u32::try_from(*number).ok()?, *verdict)))
        .collect();
    calls.sort_unstable_by_key(|call| call.0);
    let mut ranges = vec![(0, Verdict::Unknown)];
    let mut next = 0;
    let mut begin = |at, verdict| match ranges.last_mut() {
        Some(last) if last.1 == verdict => {}
        Some(last) if last.0 == at => last.1 = verdict,
        _ => ranges.push((at, verdict)),
    };
    for (number, verdict) in calls {
        if number > next {
            begin(next, Verdict::Unknown);
        }
        begin(number, verdict);
        next = number + 1;
    }
    begin(next, Verdict::Unknown);
    ranges
}

fn search(ranges: &[(u32, Verdict)]) -> Vec<Instruction> {
    match ranges {
        [] => vec![give(UNKNOWN)],
        [(_, verdict)] => answer(*verdict),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let below = search(low);
            let above = search(high);
            // Conditional jumps reach 255 instructions, plain ones any number.
            let mut out = vec![
                jump(JUMP_IF_AT_LEAST, high[0].0, 0, 1),
                jump(JUMP, u32::try_from(below.len()).unwrap_or(u32::MAX), 0, 0),
            ];
            out.extend(below);
            out.extend(above);
            out
        }
    }
}

fn answer(verdict: Verdict) -> Vec<Instruction> {
    match verdict {
        Verdict::Allow => vec![give(ALLOW)],
        Verdict::Refuse => vec![give(REFUSE)],
        Verdict::Unknown => vec![give(UNKNOWN)],
        Verdict::Namespaces => refuse_any_bit(NEW_NAMESPACES | NEW_TIME),
        Verdict::NamespacesByClone => refuse_any_bit(NEW_NAMESPACES),
        Verdict::Personality => {
            let mut out = vec![load_argument(FIRST_ARGUMENT)];
            out.extend(allow_one_of(&PERSONALITIES));
            out
        }
        Verdict::OwnLimits => {
            let mut out = vec![load_argument(FIRST_ARGUMENT)];
            out.extend(allow_one_of(&[0]));
            out
        }
        Verdict::Family => {
            let family = |number: i32| number.unsigned_abs();
            let mut out = vec![
                load_argument(FIRST_ARGUMENT),
                jump(JUMP_IF_EQUAL, family(libc::AF_NETLINK), 0, 3),
                load_argument(THIRD_ARGUMENT),
                jump(JUMP_IF_EQUAL, family(libc::NETLINK_ROUTE), 5, 0),
                give(NO_PROTOCOL),
            ];
            out.extend([
                jump(JUMP_IF_EQUAL, family(libc::AF_UNIX), 3, 0),
                jump(JUMP_IF_EQUAL, family(libc::AF_INET), 2, 0),
                jump(JUMP_IF_EQUAL, family(libc::AF_INET6), 1, 0),
                give(REFUSE),
                give(ALLOW),
            ]);
            out
        }
    }
}

fn refuse_any_bit(mask: u32) -> Vec<Instruction> {
    vec![
        load_argument(FIRST_ARGUMENT),
        jump(JUMP_IF_ANY_BIT, mask, 0, 1),
        give(REFUSE),
        give(ALLOW),
    ]
}

fn allow_one_of(values: &[u32]) -> Vec<Instruction> {
    let mut out = Vec::new();
    for value in values {
        out.extend([jump(JUMP_IF_EQUAL, *value, 0, 1), give(ALLOW)]);
    }
    out.push(give(REFUSE));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf;

    fn ask(number: i64, arguments: [u32; 3]) -> u32 {
        let number = u32::try_from(number).unwrap();
        bpf::ask(&program(), number, arguments)
    }

    #[test]
    fn every_number_gets_the_verdict_of_its_line() {
        let program = program();
        let mut plain = 0;
        for number in 0..1000 {
            let lines: Vec<Verdict> = table::ALL
                .iter()
                .flat_map(|group| group.iter())
                .filter(|line| line.0 == i64::from(number))
                .map(|line| line.1)
                .collect();
            assert!(lines.len() < 2, "{number} stands twice");
            let expected = match lines.first() {
                None => UNKNOWN,
                Some(Verdict::Allow) => ALLOW,
                Some(Verdict::Refuse) => REFUSE,
                Some(_) => continue,
            };
            plain += 1;
            assert_eq!(bpf::ask(&program, number, [0; 3]), expected, "{number}");
        }
        assert!(plain > 900 && program.len() < 512, "{} instructions", program.len());
        assert_eq!(bpf::ask_as(&program, 0x4000_0003, 0, [0; 3]), UNKNOWN, "the 32-bit calls");
        assert_eq!(bpf::ask(&program, 0x4000_0000, [0; 3]), UNKNOWN, "x32");
    }

    #[test]
    fn new_namespaces_are_refused_and_threads_are_not() {
        let thread = 0x003d_0f00;
        assert_eq!(ask(libc::SYS_clone, [thread, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_clone, [17, 0, 0]), ALLOW);
        for flag in [0x1000_0000, 0x0002_0000, 0x4000_0000, 0x2000_0000, 0x0200_0000] {
            assert_eq!(ask(libc::SYS_clone, [flag | 17, 0, 0]), REFUSE);
            assert_eq!(ask(libc::SYS_unshare, [flag, 0, 0]), REFUSE);
        }
        assert_eq!(ask(libc::SYS_unshare, [0x80, 0, 0]), REFUSE);
        assert_eq!(ask(libc::SYS_unshare, [0x400, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_clone3, [0, 0, 0]), UNKNOWN);
    }

    #[test]
    fn only_harmless_sockets_and_personalities() {
        for family in [1, 2, 10] {
            assert_eq!(ask(libc::SYS_socket, [family, 1, 0]), ALLOW, "{family}");
            assert_eq!(ask(libc::SYS_socket, [family, 1, 17]), ALLOW, "{family}");
        }
        assert_eq!(ask(libc::SYS_socket, [16, 3, 0]), ALLOW);
        for protocol in [1, 2, 4, 9, 10, 15, 16] {
            assert_eq!(ask(libc::SYS_socket, [16, 3, protocol]), NO_PROTOCOL, "{protocol}");
        }
        for family in [0, 3, 17, 29, 38, 40, 44] {
            assert_eq!(ask(libc::SYS_socket, [family, 1, 0]), REFUSE, "{family}");
        }
        assert_eq!(ask(libc::SYS_personality, [u32::MAX, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_personality, [0x4_0000, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_personality, [0x0040_0000, 0, 0]), REFUSE);
        assert_eq!(ask(libc::SYS_prlimit64, [0, 7, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_prlimit64, [1, 7, 0]), REFUSE);
    }
}
