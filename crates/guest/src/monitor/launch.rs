//! M's own life: out of its creator's session, the launch, the start, the service, the end.

use std::{
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use pyro_protocol::vm::{Accelerator, Begin, VmLaunch, VmReport};
use pyro_sys::{Context, Result, SysError, child, mount, process};
use rustix::{
    fs::fsync,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use super::{
    arguments::{Line, Sockets},
    console::Console,
    fence::{self, Fenced, Inherited, Opens, Plan},
    files::Files,
    port::Port,
    qmp::Qmp,
    serve::{Lines, Monitor, Served},
    starting::Starting,
};
use crate::holder::{self, Begun, Cgroups, channel};

/// How long after its time the guest may end a command, or itself when nobody uses it: many times
/// what a well one needs on a busy host.
const LENIENCE: Duration = Duration::from_secs(120);
const SIGTERM: i32 = 15;

/// Reads its `VmLaunch` from descriptor 0, and serves the VM until it has ended; the exit code.
#[must_use]
pub fn monitor() -> i32 {
    i32::from(start().is_err())
}

fn start() -> Result<()> {
    let Some(Begun { socket, lock, launch }) = holder::begin::<VmLaunch>()? else {
        return Ok(());
    };
    let mut cgroups = Cgroups::make(&launch.cgroups);
    let mut console = String::new();
    let ended = run(&launch, &socket, &lock, &mut cgroups, &mut console);
    cgroups.remove();
    // Last of all: when pyro hears of it nothing is left.
    match ended {
        Ok(None) => Ok(()),
        Ok(Some(report)) => channel::send(&socket, &report),
        Err(error) => channel::send(
            &socket,
            &VmReport::Failed {
                step: error.call.to_owned(),
                what: said(&error),
                errno: error.errno(),
                console,
            },
        ),
    }
}

/// What it acted on; and why, when the system has no number for that.
fn said(error: &SysError) -> String {
    if error.errno() == 0 {
        format!("{}: {}", error.what, error.source)
    } else {
        error.what.clone()
    }
}

/// Runs the VM to its end; what is still to be reported then.
fn run(
    launch: &VmLaunch,
    socket: &OwnedFd,
    lock: &OwnedFd,
    cgroups: &mut Cgroups,
    console: &mut String,
) -> Result<Option<VmReport>> {
    let mut files = Files::open(launch)?;
    let (ours, theirs) = sockets()?;
    let mut inherited = Inherited::new(theirs.console.try_clone().doing("copy", "a descriptor")?);
    let disk = files.kept().map(OwnedFd::try_clone).transpose();
    let disk = disk.doing("copy", "a descriptor")?;
    let longest_file = files.longest(launch)?;
    let line = Line::new(launch, &mut files, theirs, &mut inherited)?;
    let state = line.state;
    let by_root = rustix::process::geteuid().is_root();
    let plan =
        Plan { launch, arguments: line.into_arguments(launch)?, inherited, by_root, longest_file };
    let started = Instant::now();
    let fenced = fence::start(plan, cgroups)?;
    // Not earlier: the maps of a hidden process's child are out of reach for whoever is not root.
    let prepared = process::hide().and_then(|()| holder::sign(lock, fenced.pid, cgroups));
    let place = prepared.and_then(|()| Place::prepare(launch));
    let (place, prepared) = match place {
        Ok(place) => (place, Ok(())),
        Err(error) => (None, Err(error)),
    };
    let signals = place.as_ref().map(|place| &place.signals);
    let mut starting = Starting { fenced, lines: ours, opens: None, pyro: socket, signals };
    let begun = prepared
        .and_then(|()| begin(&mut starting, launch, state, &mut files, &mut cgroups.refused));
    let booted = match begun {
        Ok(booted) => booted,
        Err(error) => {
            starting.end();
            *console = starting.lines.console.text();
            return Err(error);
        }
    };
    let Starting { fenced, lines, opens, .. } = starting;
    // What Q would open for writing from here on fails by itself.
    drop(opens);
    let Some(place) = place else {
        fence::end(&fenced.process);
        let boot_ms = booted.map_or(0, |at| millis(at.duration_since(started)));
        return keep(&files).map(|()| Some(VmReport::Made { boot_ms }));
    };
    drop(files);
    serve(launch, socket, cgroups, (fenced, lines), place, disk).map(|()| None)
}

/// From Q's first instruction to the agent's first word (or to the end of what is only made). When
/// it had booted, if it did.
fn begin(
    starting: &mut Starting<'_>,
    launch: &VmLaunch,
    state: Option<i32>,
    files: &mut Files,
    refused: &mut Vec<(std::path::PathBuf, i32)>,
) -> Result<Option<Instant>> {
    if let Some(state) = state {
        starting.ask_to_restore(state)?;
    }
    let listener = starting.fenced.listener(refused)?;
    let ram = files.ram.as_ref().map(OwnedFd::try_clone).transpose();
    let ram = ram.doing("copy", "a descriptor")?;
    starting.opens = Some(Opens { listener, ram, kvm: files.kvm.take() });
    match &launch.begin {
        Begin::Restore { .. } => {
            starting.hear_restored()?;
            starting.awaken(&launch.awaken)?;
            Ok(None)
        }
        Begin::Cold { .. } => {
            starting.say_hello()?;
            starting.hear_waiting(false)?;
            let booted = Instant::now();
            starting.awaken(&launch.awaken)?;
            Ok(Some(booted))
        }
        Begin::MakeTemplate { .. } => {
            starting.say_hello()?;
            starting.hear_waiting(false)?;
            let booted = Instant::now();
            let no_file = || SysError::invalid("save", &"the template", "no file for its state");
            starting.save(files.state.as_ref().ok_or_else(no_file)?.as_fd())?;
            Ok(Some(booted))
        }
        Begin::Probe { .. } => {
            starting.say_hello()?;
            starting.hear_waiting(launch.accelerator == Accelerator::Kvm)?;
            let booted = Instant::now();
            starting.leave()?;
            Ok(Some(booted))
        }
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// A template outlives a loss of power as it is, or not at all: its directory is named after this.
fn keep(files: &Files) -> Result<()> {
    for file in [&files.ram, &files.state].into_iter().flatten() {
        fsync(file).doing("write to the disk", "the template")?;
    }
    Ok(())
}

/// Where doors and records of a VM that is served go.
struct Place {
    listener: UnixListener,
    spool: OwnedFd,
    signals: OwnedFd,
}

impl Place {
    /// `None` for one that is only made.
    fn prepare(launch: &VmLaunch) -> Result<Option<Self>> {
        match launch.begin {
            Begin::MakeTemplate { .. } | Begin::Probe { .. } => return Ok(None),
            Begin::Cold { .. } | Begin::Restore { .. } => {}
        }
        let listener = holder::listen(&launch.directory)?;
        // Until now its default action ended M, and with it everything.
        child::reset_signals(&[SIGTERM]).doing("block", "SIGTERM")?;
        child::ignore_sigpipe();
        // Every running command has two files of output; Q has a limit of its own.
        let files = getrlimit(Resource::Nofile);
        // As many as it may have are enough or not; it works with what it gets.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
        Ok(Some(Self {
            listener,
            spool: mount::open_handle(&launch.directory.join("spool"))?,
            signals: child::signal_descriptor(&[SIGTERM]).doing("hear", "SIGTERM")?,
        }))
    }
}

fn serve(
    launch: &VmLaunch,
    socket: &OwnedFd,
    cgroups: &mut Cgroups,
    (fenced, lines): (Fenced, Lines),
    place: Place,
    disk: Option<OwnedFd>,
) -> Result<()> {
    let served = fenced.process.try_clone().doing("copy", "a descriptor");
    let served = served.map(|process| Served {
        listener: place.listener,
        spool: place.spool,
        agent: launch.awaken.agent.clone(),
        process,
        signals: place.signals,
        disk,
        lenience: LENIENCE,
    });
    let monitor = served.and_then(|served| Monitor::new(served, lines));
    let mut monitor = match monitor {
        Ok(monitor) => monitor,
        Err(error) => {
            fence::end(&fenced.process);
            return Err(error);
        }
    };
    let refused = std::mem::take(&mut cgroups.refused);
    // Pyro may be gone; the machine is there for every door.
    let _ = channel::send(socket, &VmReport::Ready { refused });
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
    let served = monitor.serve();
    if served.is_err() {
        fence::end(&fenced.process);
    }
    // The report's socket is shut: there is nobody to tell.
    Ok(())
}

/// The ends of Q's three sockets: ours do not block.
fn sockets() -> Result<(Lines, Sockets)> {
    let pair = || -> Result<(OwnedFd, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair().doing("make", "a pair of sockets")?;
        ours.set_nonblocking(true).doing("set up", "a socket")?;
        Ok((ours.into(), theirs.into()))
    };
    let (console, their_console) = pair()?;
    let (qmp, their_qmp) = pair()?;
    let (port, their_port) = pair()?;
    let lines = Lines { port: Port::new(port), qmp: Qmp::new(qmp), console: Console::new(console) };
    Ok((lines, Sockets { console: their_console, qmp: their_qmp, port: their_port }))
}
