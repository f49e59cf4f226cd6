//! A guest that keeps to no limit: what it does not end is ended with it.

use std::time::{Duration, Instant};

use pyro_protocol::{
    HostMessage,
    spool::{Record, StopReason},
    vm::{FromVm, ToVm},
};

use crate::{
    fake::{PATIENCE, Played},
    vms::shell,
};

const LATE: Duration = Duration::from_millis(300);

#[test]
fn a_command_that_goes_on_after_its_time_ends_the_machine() {
    let mut played = Played::limited(false, 0, LATE);
    let mut door = played.door();
    let mut start = shell(1, "sleep 9");
    start.timeout_ms = 200;
    let began = Instant::now();
    let call = door.send(HostMessage::Exec(Box::new(start))).unwrap();
    assert!(matches!(played.heard(), ToVm::Host(_)));
    let reached = door.receive(call, Some(began + 5 * LATE), None);
    assert!(matches!(reached, Err(pyro_machine::GuestError::Deadline(_))), "{reached:?}");
    let (_, records) = played.end();
    assert!(
        matches!(records.last(), Some(Record::MachineFailed { why, .. })
        if why == "a command went on after its time"),
        "{records:?}"
    );
}

#[test]
fn a_machine_that_nobody_uses_ends_though_its_guest_does_not() {
    let mut played = Played::limited(false, 1, LATE);
    let began = Instant::now();
    let mut door = played.door();
    std::thread::sleep(Duration::from_millis(700));
    // A call is open: it is in use, for as long as the guest takes.
    let call = door.send(HostMessage::Status).unwrap();
    let ToVm::Host(frame) = played.heard() else { panic!("no call") };
    let quiet = door.receive(call, Some(began + Duration::from_millis(2_300)), None);
    assert!(quiet.is_err() && frame.message == HostMessage::Status);
    played.answer(frame.call, pyro_protocol::GuestMessage::Done);
    assert!(door.receive(call, Some(Instant::now() + PATIENCE), None).is_ok());
    assert_eq!(played.heard(), ToVm::Sync);
    assert!(began.elapsed() >= Duration::from_millis(2_300));
    played.say(&FromVm::Synced);
    assert!(played.command().contains("\"quit\""));
    let (_, records) = played.end();
    let reason = StopReason::Idle;
    assert!(
        matches!(records.last(), Some(Record::MachineStopped { reason: said, .. })
        if *said == reason),
        "{records:?}"
    );
}
