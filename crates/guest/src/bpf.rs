//! The few words of the kernel's filter language that system call filters are assembled from.

use pyro_sys::seccomp::Instruction;

const LOAD: u16 = 0x20;
/// The operand is how many instructions are left out.
pub(crate) const JUMP: u16 = 0x05;
pub(crate) const JUMP_IF_EQUAL: u16 = 0x15;
pub(crate) const JUMP_IF_AT_LEAST: u16 = 0x35;
pub(crate) const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Offsets into the kernel's `struct seccomp_data`.
pub(crate) const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

pub(crate) const ALLOW: u32 = 0x7fff_0000;
pub(crate) const REFUSE: u32 = fails_with(libc::EPERM);
pub(crate) const UNKNOWN: u32 = fails_with(libc::ENOSYS);

#[cfg(target_arch = "x86_64")]
const THIS_ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const THIS_ARCHITECTURE: u32 = 0xc000_00b7;

/// Flags of `clone` and `unshare`. `CLONE_NEWTIME` is a signal's number to the first.
pub(crate) const NEW_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET)
    .unsigned_abs();

/// The verdict by which a call is not made, and fails with that number.
pub(crate) const fn fails_with(errno: i32) -> u32 {
    0x0005_0000 | errno.unsigned_abs()
}

/// The first steps of every filter: calls of another instruction set are unknown, and the call's
/// number is loaded.
pub(crate) fn beginning() -> [Instruction; 4] {
    [load(ARCHITECTURE), jump(JUMP_IF_EQUAL, THIS_ARCHITECTURE, 1, 0), give(UNKNOWN), load(NUMBER)]
}

/// Loads the lower half of an argument, counted from 0: they are 64 bits wide, little-endian here.
pub(crate) fn load_argument(number: u32) -> Instruction {
    load(ARGUMENTS + 8 * number)
}

fn load(offset: u32) -> Instruction {
    jump(LOAD, offset, 0, 0)
}

/// A step that leaves out so many of the next when it holds, and so many when not.
pub(crate) fn jump(code: u16, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction { code, if_true, if_false, operand }
}

/// The end, with a verdict.
pub(crate) fn give(verdict: u32) -> Instruction {
    jump(RETURN, verdict, 0, 0)
}

/// What the kernel would do with a call of this instruction set.
#[cfg(test)]
pub(crate) fn ask(program: &[Instruction], number: u32, arguments: [u32; 3]) -> u32 {
    ask_as(program, THIS_ARCHITECTURE, number, arguments)
}

/// What it would do with one of another.
#[cfg(test)]
pub(crate) fn ask_as(
    program: &[Instruction],
    architecture: u32,
    number: u32,
    arguments: [u32; 3],
) -> u32 {
    let (mut at, mut value) = (0, 0);
    loop {
        let step = program[at];
        at += 1;
        let holds = match step.code {
            LOAD => {
                value = match step.operand {
                    NUMBER => number,
                    ARCHITECTURE => architecture,
                    other => {
                        assert_eq!(other % 8, 0, "loads from {other}");
                        arguments[(other - ARGUMENTS) as usize / 8]
                    }
                };
                continue;
            }
            JUMP => {
                at += step.operand as usize;
                continue;
            }
            RETURN => return step.operand,
            JUMP_IF_EQUAL => value == step.operand,
            JUMP_IF_AT_LEAST => value >= step.operand,
            JUMP_IF_ANY_BIT => value & step.operand != 0,
            other => panic!("code {other:#x}"),
        };
        at += usize::from(if holds { step.if_true } else { step.if_false });
    }
}
