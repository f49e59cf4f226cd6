//! From QEMU's first instruction to the agent's first word, step by step, each with its deadline.
//!
//! Promises: while a step is waited for, Q's opens are answered, its console is read, and its end
//! or pyro's is noticed. What fails is said with the step and the thing acted on.

use std::{
    os::fd::{BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use pyro_protocol::{
    VERSION,
    vm::{Awaken, FromVm, ToVm},
};
use pyro_sys::{Context, Result, SysError, process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::{
    clock::now_us,
    fence::{self, Fenced, Opens},
    qmp::Said,
    serve::Lines,
};

/// A step of a VM that boots: an emulated one on a busy host needs seconds.
const BOOT: Duration = Duration::from_secs(30);
/// A probe's: a `/dev/kvm` that does not work hangs more often than it says so.
const PROBE: Duration = Duration::from_secs(20);
/// How long a VM that is saved may put things in order before.
const REST: Duration = Duration::from_millis(400);
/// A step of one that is restored.
const RESTORE: Duration = Duration::from_secs(30);

/// A VM on its way.
pub(super) struct Starting<'a> {
    pub(super) fenced: Fenced,
    pub(super) lines: Lines,
    pub(super) opens: Option<Opens>,
    /// Hangs up when pyro is gone.
    pub(super) pyro: &'a OwnedFd,
    /// Readable when pyro ends the machine, for one that will be served.
    pub(super) signals: Option<&'a OwnedFd>,
}

/// What a turn of waiting brought.
#[derive(Default)]
struct Heard {
    control: bool,
    port: bool,
}

impl Starting<'_> {
    /// Sends the commands that QEMU does in order when it comes up: restoring from its descriptor
    /// `state`, and running when that is done.
    ///
    /// # Errors
    /// The socket is closed.
    pub(super) fn ask_to_restore(&mut self, state: i32) -> Result<()> {
        let qmp = &mut self.lines.qmp;
        qmp.command("qmp_capabilities", &Value::Null, None)?;
        qmp.command("migrate-set-capabilities", &capabilities(), None)?;
        qmp.command("migrate-incoming", &json!({ "uri": format!("fd:{state}") }), None)?;
        Ok(())
    }

    /// Opens the conversation with a VM that boots.
    ///
    /// # Errors
    /// The socket is closed.
    pub(super) fn say_hello(&mut self) -> Result<()> {
        self.lines.qmp.command("qmp_capabilities", &Value::Null, None).map(drop)
    }

    /// Waits until the state is restored, and lets the VM run. It waits to be awakened then.
    ///
    /// # Errors
    /// QEMU refused, failed or took too long.
    pub(super) fn hear_restored(&mut self) -> Result<()> {
        self.hear_moved(Instant::now() + RESTORE, "restore")?;
        self.lines.qmp.command("cont", &Value::Null, None).map(drop)
    }

    /// Waits until a booted VM waits to be awakened.
    ///
    /// # Errors
    /// It ended, speaks another version, or took too long.
    pub(super) fn hear_waiting(&mut self, probe: bool) -> Result<()> {
        let until = Instant::now() + if probe { PROBE } else { BOOT };
        match self.hear_port(until, "boot")? {
            FromVm::Waiting { version: VERSION } => Ok(()),
            FromVm::Failed { step, what, errno } => Err(guests_error(&step, &what, errno)),
            _ => Err(SysError::invalid("boot", &"the VM", "its agent is of another version")),
        }
    }

    /// Awakens the VM, and waits until its agent answers.
    ///
    /// # Errors
    /// It could not be awakened, ended, or took too long.
    pub(super) fn awaken(&mut self, awaken: &Awaken) -> Result<()> {
        let until = Instant::now() + RESTORE;
        let awaken = Awaken { at_us: now_us(), ..awaken.clone() };
        self.lines.port.send(&ToVm::Awaken(Box::new(awaken)));
        while self.lines.port.waiting() > 0 {
            if self.lines.port.flush().is_err() {
                break;
            }
            if self.lines.port.waiting() > 0 {
                self.turn(until, "awaken", true)?;
            }
        }
        match self.hear_port(until, "awaken")? {
            FromVm::Awake => Ok(()),
            FromVm::Failed { step, what, errno } => Err(guests_error(&step, &what, errno)),
            _ => Err(SysError::invalid("awaken", &"the VM", "it said something else")),
        }
    }

    /// Waits a while: what the kernel puts off (freeing, writing back, its own timers) is done once,
    /// and not by every clone.
    fn let_rest(&mut self, until: Instant) -> Result<()> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.listen(left, "save", false)?;
        }
    }

    /// Stops the VM, saves its state, and ends it.
    ///
    /// # Errors
    /// QEMU refused, failed or took too long.
    pub(super) fn save(&mut self, state: BorrowedFd<'_>) -> Result<()> {
        self.let_rest(Instant::now() + REST)?;
        let until = Instant::now() + BOOT;
        let qmp = &mut self.lines.qmp;
        qmp.command("stop", &Value::Null, None)?;
        qmp.command("migrate-set-capabilities", &capabilities(), None)?;
        qmp.command("getfd", &json!({ "fdname": "state" }), Some(state))?;
        qmp.command("migrate", &json!({ "uri": "fd:state" }), None)?;
        self.hear_moved(until, "save")?;
        self.quit(until)
    }

    /// Ends the VM.
    ///
    /// # Errors
    /// QEMU is gone already.
    pub(super) fn leave(&mut self) -> Result<()> {
        self.quit(Instant::now() + RESTORE)
    }

    fn quit(&mut self, until: Instant) -> Result<()> {
        self.lines.qmp.command("quit", &Value::Null, None)?;
        let left = until.saturating_duration_since(Instant::now());
        if !process::wait_readable(&self.fenced.process, Some(left))? {
            return Err(SysError::invalid("end", &"QEMU", "it takes too long"));
        }
        Ok(())
    }

    /// Waits until the state has moved.
    fn hear_moved(&mut self, until: Instant, step: &'static str) -> Result<()> {
        loop {
            while let Some(said) = self.lines.qmp.next()? {
                match said {
                    Said::Refused(_, why) => return Err(qemus_error(step, &why)),
                    Said::Event(name, Some(status)) if name == "MIGRATION" => {
                        match status.as_str() {
                            "completed" => return Ok(()),
                            "failed" => return Err(qemus_error(step, "the state did not move")),
                            _ => {}
                        }
                    }
                    _ => {}
                }
            }
            self.turn(until, step, false)?;
        }
    }

    /// Waits for the guest's next frame.
    fn hear_port(&mut self, until: Instant, step: &'static str) -> Result<FromVm> {
        loop {
            let frame = self.lines.port.next().map_err(std::io::Error::other);
            if let Some(frame) = frame.doing("understand", "the guest")? {
                return Ok(frame);
            }
            while let Some(said) = self.lines.qmp.next()? {
                if let Said::Refused(_, why) = said {
                    return Err(qemus_error(step, &why));
                }
            }
            self.turn(until, step, false)?;
        }
    }

    /// Waits once, and takes whatever came.
    fn turn(&mut self, until: Instant, step: &'static str, writing: bool) -> Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(SysError::invalid(step, &"the VM", "it takes too long"));
        }
        self.listen(left, step, writing)
    }

    fn listen(&mut self, left: Duration, step: &'static str, writing: bool) -> Result<()> {
        let heard = self.wait(left, writing)?;
        // Once for each look at the clock: a flood has no end.
        self.lines.console.fill();
        let mut scratch = [0; 4096];
        if heard.port {
            // Its end is told below, with the reason.
            let _ = self.lines.port.fill(&mut scratch);
        }
        if heard.control && !self.lines.qmp.fill()? {
            // Only its end closes it.
            process::wait_readable(&self.fenced.process, Some(left))?;
        }
        if process::wait_readable(&self.fenced.process, Some(Duration::ZERO))? {
            while self.lines.console.fill() {}
            return Err(self
                .fenced
                .never_ran()
                .unwrap_or_else(|| SysError::invalid(step, &"the VM", "QEMU ended")));
        }
        Ok(())
    }

    fn wait(&mut self, left: Duration, writing: bool) -> Result<Heard> {
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut port = PollFlags::IN;
        port.set(PollFlags::OUT, writing);
        let mut waited = vec![
            PollFd::from_borrowed_fd(self.lines.qmp.socket(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.lines.port.stream(), port),
            PollFd::from_borrowed_fd(self.lines.console.stream(), PollFlags::IN),
            PollFd::new(&self.fenced.process, PollFlags::IN),
            PollFd::new(self.pyro, PollFlags::RDHUP),
        ];
        let nobody = PollFd::new(self.pyro, PollFlags::empty());
        waited.push(self.signals.map_or(nobody, |signals| PollFd::new(signals, PollFlags::IN)));
        waited.extend(self.opens.as_ref().map(|opens| PollFd::new(&opens.listener, PollFlags::IN)));
        match poll(&mut waited, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).doing("wait for", "the VM"),
        }
        let ready: Vec<PollFlags> = waited.iter().map(PollFd::revents).collect();
        if !ready[4].is_empty() {
            return Err(SysError::invalid("hear from", &"pyro", "it went away"));
        }
        if ready[5].contains(PollFlags::IN) {
            return Err(SysError::invalid("start", &"the VM", "it was asked to end"));
        }
        if let Some(flags) = ready.get(6).filter(|flags| !flags.is_empty()) {
            let answered = flags.contains(PollFlags::IN)
                && self.opens.as_mut().is_some_and(|opens| opens.answer_one().is_ok());
            if !answered {
                // Q has ended, which is told by its process.
                self.opens = None;
            }
        }
        Ok(Heard { control: !ready[0].is_empty(), port: !ready[1].is_empty() })
    }

    /// Ends Q for good.
    pub(super) fn end(&self) {
        fence::end(&self.fenced.process);
    }
}

/// RAM that is a shared file stays where it is.
fn capabilities() -> Value {
    let on = |name: &str| json!({ "capability": name, "state": true });
    json!({ "capabilities": [on("x-ignore-shared"), on("events")] })
}

fn qemus_error(step: &'static str, why: &str) -> SysError {
    let what = why.chars().filter(|letter| !letter.is_control()).take(500).collect();
    SysError { call: step, what, source: std::io::Error::other("QEMU refused") }
}

fn guests_error(step: &str, what: &str, errno: i32) -> SysError {
    let plain = |text: &str| -> String {
        text.chars().filter(|letter| !letter.is_control()).take(500).collect()
    };
    SysError {
        call: "awaken the VM:",
        what: format!("{} {}", plain(step), plain(what)),
        source: std::io::Error::from_raw_os_error(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, io::Write as _, os::unix::net::UnixStream};

    use super::{
        super::{console::Console, port::Port, qmp::Qmp},
        *,
    };

    #[test]
    fn a_console_that_floods_does_not_stop_the_clock() {
        let pair = || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            theirs.set_nonblocking(true).unwrap();
            (ours, theirs)
        };
        let (console, mut flood) = pair();
        let mut rest = console.try_clone().unwrap();
        let ((port, _guest), (qmp, _qemu), (process, _end), (talk, _child), (pyro, _p)) =
            (pair(), pair(), pair(), pair(), pair());
        let pyro: OwnedFd = pyro.into();
        while flood.write(&[b'x'; 4096]).is_ok() {}
        let lines = Lines {
            port: Port::new(port.into()),
            qmp: Qmp::new(qmp.into()),
            console: Console::new(console.into()),
        };
        let fenced = Fenced::played(process.into(), talk);
        let mut starting = Starting { fenced, lines, opens: None, pyro: &pyro, signals: None };
        starting.turn(Instant::now() + BOOT, "boot", false).unwrap();
        let mut left = [0; 4096];
        assert!(rest.read(&mut left).is_ok(), "a turn took all that was there");
        let late = starting.hear_port(Instant::now() + Duration::from_millis(100), "boot");
        assert!(late.unwrap_err().to_string().contains("too long"));
    }
}
