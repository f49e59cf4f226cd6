//! The program inside, and what keeps machines on the host (the launcher of containers, the monitor
//! of a VM): which one, its first argument says.

use pyro_guest::{container, microvm, monitor};

fn main() {
    let mut arguments = std::env::args_os();
    // What else the kernel hands to process 1 is not for it.
    if microvm::is_process_one(arguments.next().as_deref()) {
        pyro_sys::process::exit_now(microvm::init());
    }
    let code = match arguments.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("launch") => container::launch(),
        Some("enter") => container::enter(arguments),
        Some("plain") => pyro_guest::agent::plain::serve(arguments),
        Some("remove") => container::remove(arguments),
        Some("init") => microvm::init(),
        Some("monitor") => monitor::monitor(),
        _ => 2,
    };
    pyro_sys::process::exit_now(code)
}
