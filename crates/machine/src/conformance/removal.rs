//! Waiting for a removal in the background, by the events of the directory around it.

use std::path::Path;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{self, CreateFlags, WatchFlags},
};

use super::{Verdict, ensure};

/// Waits until a discarded tree is gone: the removal is somebody else's process.
///
/// # Errors
/// It is still there after half a minute.
pub fn gone(trash: &Path) -> Verdict {
    let watch = inotify::init(CreateFlags::CLOEXEC)?;
    let Some(parent) = trash.parent() else { return Ok(()) };
    inotify::add_watch(&watch, parent, WatchFlags::DELETE)?;
    let mut events = [0; 4096];
    while trash.exists() {
        let mut waited = [PollFd::new(&watch, PollFlags::IN)];
        let time = Timespec { tv_sec: 30, tv_nsec: 0 };
        ensure!(
            poll(&mut waited, Some(&time))? > 0,
            "discarded changes are still at {}",
            trash.display()
        );
        rustix::io::read(&watch, &mut events)?;
    }
    Ok(())
}
