//! Asking from inside: Python makes raw system calls and prints what came.

use pyro_machine::conformance::Session;

/// Runs a Python program in the workspace; its output. `call(number, ...)` in it makes a raw
/// system call and gives the result, or the negative error number.
pub fn python(session: &mut Session, program: &str) -> String {
    let prelude = "import ctypes, os, socket, sys, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    arguments = [ctypes.c_char_p(a) if isinstance(a, bytes) else
                 (ctypes.c_long(a) if isinstance(a, int) else a) for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *arguments)
    return result if result != -1 else -ctypes.get_errno()
def opened(path, flags=os.O_RDONLY):
    try:
        os.close(os.open(path, flags)); return 'opened'
    except OSError as error:
        return errno.errorcode[error.errno]
";
    let line = format!("python3 - <<'PYRO'\n{prelude}{program}\nPYRO");
    let output = session.run(&line).unwrap();
    assert!(output.ok(), "the probe failed: {output:?}");
    output.stdout
}

/// Runs a line of shell that must fail for the reason given.
pub fn refused(session: &mut Session, line: &str, why: &[&str]) {
    let output = session.run(line).unwrap();
    assert!(!output.ok(), "`{line}` succeeded: {output:?}");
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(why.iter().any(|why| said.contains(why)), "`{line}` failed otherwise: {said}");
}
