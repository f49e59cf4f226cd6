//! Every exit code of the command line. A failure exits with its code's number (`Code::exit`),
//! except in `run` and `workspace exec`, which exit as the command did.

use pyro_operations::Code;

/// Done.
pub const DONE: u8 = 0;
/// `doctor` and `host doctor`: there is something to mend.
pub const TO_MEND: u8 = 1;
/// Wrong arguments, as `invalid_argument`.
pub const USAGE: u8 = 2;
/// `run` and `workspace exec`: the command ran past `--timeout-s`, or past `--wait-s` and goes on.
pub const TIMED_OUT: u8 = 124;
/// `run` and `workspace exec`: pyro failed, whatever the code.
pub const PYRO_FAILED: u8 = 125;
/// `run` and `workspace exec`: the shell found the program but could not run it.
pub const NOT_EXECUTABLE: u8 = 126;
/// `run` and `workspace exec`: the shell did not find the program.
pub const NOT_FOUND: u8 = 127;
/// Added to the signal that ended a command.
pub const SIGNALED: u8 = 128;
/// Ctrl-C.
pub const INTERRUPTED: u8 = SIGNALED + 2;
/// `run` and `workspace exec`: nobody reads the output any more.
pub const BROKEN_PIPE: u8 = SIGNALED + 13;

/// The rows of the reference page.
#[must_use]
pub fn table() -> Vec<(u8, String)> {
    let mut rows = vec![
        (DONE, "done".to_owned()),
        (TO_MEND, "`doctor` and `host doctor`: there is something to mend".to_owned()),
    ];
    let mut numbers: Vec<u8> = Code::ALL.iter().map(|code| code.exit()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        let codes: Vec<String> = Code::ALL
            .iter()
            .filter(|code| code.exit() == number)
            .map(|code| format!("`{code}`"))
            .collect();
        rows.push((number, codes.join(", ")));
    }
    let command = [
        (TIMED_OUT, "the command ran past `--timeout-s`, or past `--wait-s` and goes on"),
        (PYRO_FAILED, "pyro failed, whatever the code"),
        (NOT_EXECUTABLE, "the program cannot be executed"),
        (NOT_FOUND, "the program was not found"),
        (INTERRUPTED, "Ctrl-C"),
        (BROKEN_PIPE, "nobody reads the output any more"),
    ];
    rows.extend(
        command.map(|(number, what)| (number, format!("`run` and `workspace exec`: {what}"))),
    );
    rows.sort_by_key(|(number, _)| *number);
    rows
}
