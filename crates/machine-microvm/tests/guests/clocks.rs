//! The guest's clock: the host's after a restore, and after the host's has jumped.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pyro_machine::conformance::{Broken, Session};
use pyro_model::{ExecId, OutputStream};
use pyro_protocol::{
    GuestMessage, HostMessage,
    exec::{ExecStart, Follow, Program},
};

use crate::support::with_home;

#[test]
fn a_clone_of_an_old_template_has_the_time_of_now() {
    with_home(|home| {
        home.session(|session| {
            let before = now();
            let seen: u64 = session.must("date +%s").unwrap().trim().parse().unwrap();
            assert!(
                (before - 1..=now() + 1).contains(&seen),
                "{seen} is not between {before} and now"
            );
        });
    });
}

#[test]
fn the_clock_follows_a_host_that_slept() {
    with_home(|home| {
        home.session(|session| {
            for hours in [3, 0] {
                let host = now() + hours * 3_600;
                let seen: u64 =
                    at(session, host * 1_000, "date +%s").unwrap().trim().parse().unwrap();
                assert!((host - 1..=host + 20).contains(&seen), "{seen} is not {host}");
            }
        });
    });
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Runs a line, sent by a host with that time, in milliseconds.
fn at(session: &mut Session, at_ms: u64, line: &str) -> Result<String, Broken> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())?;
    let start = ExecStart {
        exec: ExecId::from_random(random),
        line: line.to_owned(),
        program: Program::Words(["/bin/sh", "-c", line].map(str::to_owned).to_vec()),
        cwd: "/".to_owned(),
        environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        stdin: None,
        timeout_ms: 30_000,
        kept_bytes: 1 << 20,
        follow: Follow::Output { stdout: 0, stderr: 0 },
        at_ms,
    };
    let call = session.guest.send(HostMessage::Exec(Box::new(start)))?;
    let deadline = Some(Instant::now() + Duration::from_secs(60));
    let mut said = Vec::new();
    loop {
        match session.guest.receive(call, deadline, None)? {
            GuestMessage::Output { stream: OutputStream::Stdout, bytes, .. } => said.extend(bytes),
            GuestMessage::Finished(_) => return Ok(String::from_utf8_lossy(&said).into_owned()),
            _ => {}
        }
    }
}
