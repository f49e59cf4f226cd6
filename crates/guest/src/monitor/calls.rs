//! What doors ask, and what the guest answers: calls change their numbers on the way.
//!
//! A door numbers its calls itself; on the channel each gets a number of its own, which is not
//! used again before four billion others were.

use std::time::Instant;

use pyro_protocol::{
    GuestFrame, GuestMessage, HostFrame, HostMessage, VERSION, message::RefusalKind, vm::ToVm,
};

use super::{
    commands::refuse,
    door::{CALLS, Call},
    serve::{Caller, Monitor},
};

/// A call that the guest has not answered to its end.
pub(super) struct Forwarded {
    /// Whose it is; nobody's when the door gave it up and its answer still matters.
    pub(super) caller: Option<Caller>,
    /// The command that it starts.
    pub(super) command: Option<u64>,
}

impl Monitor {
    /// Takes one frame of a door.
    pub(super) fn handle(&mut self, number: u64, frame: HostFrame) {
        let caller = (number, frame.call);
        self.last_use = Instant::now();
        let Some(door) = self.doors.get_mut(&number) else { return };
        match &frame.message {
            HostMessage::Hello { version } => {
                door.greeted = *version == VERSION;
                let boot = self.agent.boot;
                return self.answer(caller, GuestMessage::Hello { version: VERSION, boot });
            }
            // Nothing is understood before both sides know that they speak the same version; and
            // two open calls of one number cannot be told apart.
            _ if !door.greeted => return self.drop_door(number),
            HostMessage::Credit { bytes } => return self.grant(caller, *bytes),
            HostMessage::Cancel => return self.cancel(caller),
            _ if door.calls.contains_key(&frame.call) => return self.drop_door(number),
            _ => {}
        }
        let result = if door.calls.len() >= CALLS {
            Err(refuse(RefusalKind::TooLarge, "the connection", "open another call on it"))
        } else if self.is_ending() {
            Err(refuse(RefusalKind::Invalid, "the machine", "do that: the machine is ending"))
        } else {
            match frame.message {
                HostMessage::Exec(start) => self.start_command(caller, start),
                HostMessage::ExecAttach { exec, follow } => self.attach(caller, &exec, follow),
                message => {
                    let call = self.forward(caller, message, None);
                    self.open_call(caller, Call::Forwarded(call));
                    Ok(())
                }
            }
        };
        if let Err(refusal) = result {
            self.answer(caller, GuestMessage::Failed(refusal));
        }
    }

    /// Passes a call on under a number of its own.
    pub(super) fn forward(
        &mut self,
        caller: Caller,
        message: HostMessage,
        command: Option<u64>,
    ) -> u32 {
        loop {
            self.next_call = self.next_call.wrapping_add(1);
            if !self.forwarded.contains_key(&self.next_call) {
                break;
            }
        }
        let call = self.next_call;
        self.forwarded.insert(call, Forwarded { caller: Some(caller), command });
        self.port.send(&ToVm::Host(HostFrame { call, message }));
        call
    }

    pub(super) fn cancel_in_guest(&mut self, call: u32) {
        self.port.send(&ToVm::Host(HostFrame { call, message: HostMessage::Cancel }));
    }

    pub(super) fn open_call(&mut self, caller: Caller, call: Call) {
        if let Some(door) = self.doors.get_mut(&caller.0) {
            door.calls.insert(caller.1, call);
        }
    }

    /// Queues an answer; a door that has not read for too long is let go.
    pub(super) fn answer(&mut self, caller: Caller, message: GuestMessage) {
        let Some(door) = self.doors.get_mut(&caller.0) else { return };
        door.answer(caller.1, message);
        if door.is_lost() {
            self.drop_door(caller.0);
        } else {
            self.touched.insert(caller.0);
        }
    }

    /// Takes one answer of the guest. One to a call that is not open is dropped: it was given up,
    /// or the guest lies.
    pub(super) fn on_answer(&mut self, frame: GuestFrame) {
        let Some(forwarded) = self.forwarded.get(&frame.call) else { return };
        if let Some(command) = forwarded.command {
            return self.on_start_answer(frame.call, command, frame.message);
        }
        if matches!(frame.message, GuestMessage::Hello { .. }) {
            return;
        }
        let Some(caller) = forwarded.caller else { return };
        if frame.message.ends_call() {
            self.forwarded.remove(&frame.call);
            if let Some(door) = self.doors.get_mut(&caller.0) {
                door.calls.remove(&caller.1);
                door.held_credit.remove(&frame.call);
            }
        }
        self.answer(caller, frame.message);
    }

    fn grant(&mut self, caller: Caller, bytes: u32) {
        let Some(door) = self.doors.get_mut(&caller.0) else { return };
        match door.calls.get(&caller.1) {
            Some(Call::Forwarded(call)) if door.is_full() => {
                let held = door.held_credit.entry(*call).or_default();
                *held = held.saturating_add(bytes);
            }
            Some(Call::Forwarded(call)) => {
                let message = HostMessage::Credit { bytes };
                self.port.send(&ToVm::Host(HostFrame { call: *call, message }));
            }
            Some(Call::Follow(_)) => self.grant_follower(caller, bytes),
            // The call may have ended while the grant was on its way.
            None => {}
        }
    }

    /// The door has read: what it granted meanwhile is passed on.
    pub(super) fn pass_credit(&mut self, number: u64) {
        let Some(door) = self.doors.get_mut(&number) else { return };
        for (call, bytes) in std::mem::take(&mut door.held_credit) {
            let message = HostMessage::Credit { bytes };
            self.port.send(&ToVm::Host(HostFrame { call, message }));
        }
    }

    fn cancel(&mut self, caller: Caller) {
        let Some(door) = self.doors.get_mut(&caller.0) else { return };
        if let Some(open) = door.calls.remove(&caller.1) {
            self.give_up(caller, &open);
        }
    }

    /// The door gave a call up, or is gone.
    pub(super) fn give_up(&mut self, caller: Caller, open: &Call) {
        match open {
            Call::Follow(follower) => self.unfollow(caller, follower),
            Call::Forwarded(call) => {
                self.forwarded.remove(call);
                if let Some(door) = self.doors.get_mut(&caller.0) {
                    door.held_credit.remove(call);
                }
                self.cancel_in_guest(*call);
            }
        }
    }
}
