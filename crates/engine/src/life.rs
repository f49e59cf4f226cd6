//! A workspace's machine: started on need, reached by any door, taken back.
//!
//! ```text
//! stopped --connect--> running --reset--> running (fresh)
//!    ^                    |
//!    +---- idle, end -----+
//! ```
//!
//! Whether a machine runs is its lock's business, so nothing here is recorded but the journal's
//! events and how the bounds are kept.

use std::{sync::Arc, time::Duration};

use pyro_machine::{
    Enforcement, Guest, GuestError, Limits, Machine, MachineError, MachineSpec, Writable,
};
use pyro_model::{Isolation, MachineKind, limits};
use pyro_operations::{Code, Failure};
use pyro_store::{Event, EventKind, OperationLock, Record};
use serde_json::json;

use crate::{
    Engine,
    failure::{IntoFailure, OrFail},
};

/// How long an agent may take to say hello.
const HELLO: Duration = Duration::from_secs(20);

/// How often a look begins anew when its machine ended under it.
const LOOKS: u32 = 10;

/// A connection to a workspace's agent.
pub(crate) struct Connected {
    pub(crate) guest: Guest,
    /// The machine was down, and this call started it.
    pub(crate) started: bool,
    /// What the start had to say.
    pub(crate) notices: Vec<String>,
}

impl Connected {
    fn running(guest: Guest) -> Self {
        Self { guest, started: false, notices: Vec::new() }
    }
}

/// A machine that was just started.
pub(crate) struct Up {
    pub(crate) guest: Guest,
    pub(crate) isolation: Isolation,
    pub(crate) not_enforced: serde_json::Value,
    pub(crate) notices: Vec<String>,
}

impl Engine {
    /// What the machine of this workspace is started with.
    fn machine_spec(&self, record: &Record, inspect_only: bool) -> MachineSpec {
        let run = record.run.clone();
        MachineSpec {
            workspace: record.id.clone(),
            directory: self.layout().workspace(&record.id),
            hostname: record.name.as_ref().map_or_else(
                || record.id.as_str().replace('_', "-"),
                |name| name.as_str().replace(['_', '.'], "-"),
            ),
            root_lowers: run.root_lowers,
            tree_lowers: run.tree_lowers,
            writable: if record.ephemeral { Writable::Memory } else { Writable::Disk },
            binds: run.binds,
            also_at: run.also_at,
            limits: Limits {
                cpus: run.cpus,
                memory_mib: run.memory_mib,
                disk_mib: run.disk_mib,
                processes: limits::PROCESSES,
            },
            idle_ttl_s: record.idle_ttl_s,
            inspect_only,
        }
    }

    /// Starts the machine. The caller holds the operation lock.
    pub(crate) fn start_machine(
        &self,
        record: &Record,
        inspect_only: bool,
        _lock: &OperationLock,
    ) -> Result<Up, Failure> {
        let machine: Arc<dyn Machine> = match record.machine {
            MachineKind::Container => self.machine(record.machine)?,
            MachineKind::Microvm => self.fit_for_microvm()?,
        };
        // Made at create; made again where somebody removed it since.
        for layer in record.run.root_lowers.iter().chain(&record.run.tree_lowers) {
            machine.prepare_layer(layer).or_fail()?;
        }
        let directory = self.layout().workspace(&record.id);
        // Nobody reached it, so it is on its way down: a start would find it busy.
        if machine.is_running(&directory).or_fail()? {
            machine.end(&directory).or_fail()?;
        }
        let started = machine.start(&self.machine_spec(record, inspect_only)).or_fail()?;
        let guest = Guest::handshake(started.stream, HELLO).map_err(|error| {
            // A machine that does not speak is of no use to anybody.
            let _ = machine.end(&directory);
            error.into_failure()
        })?;
        Ok(Up {
            guest,
            isolation: machine.isolation(),
            not_enforced: not_enforced(&started.enforcement),
            notices: started.notices,
        })
    }

    /// Reaches the agent, if the machine runs.
    pub(crate) fn reach(&self, record: &Record) -> Result<Option<Guest>, Failure> {
        let machine = self.machine(record.machine)?;
        match machine.connect(&self.layout().workspace(&record.id)) {
            Ok(stream) => match Guest::handshake(stream, HELLO) {
                Ok(guest) => Ok(Some(guest)),
                // It ended between the connection and the first word.
                Err(GuestError::Gone) => Ok(None),
                Err(error) => Err(error.into_failure()),
            },
            Err(MachineError::NotRunning(_)) => Ok(None),
            Err(error) => Err(error.into_failure()),
        }
    }

    /// Reaches the agent, starting the machine first where it does not run.
    pub(crate) fn connect(&self, record: &Record) -> Result<Connected, Failure> {
        if let Some(guest) = self.reach(record)? {
            // Who looks at the disk of a stopped workspace holds the lock until its machine is
            // down; so does who resets or deletes.
            let lock = OperationLock::try_take(self.layout(), &record.id).or_fail()?;
            if lock.is_some() {
                return Ok(Connected::running(guest));
            }
        }
        let (lock, record) = self.lock_at_rest(record)?;
        // Another door may have started it while this one waited.
        if let Some(guest) = self.reach(&record)? {
            return Ok(Connected::running(guest));
        }
        let up = self.start_machine(&record, false, &lock)?;
        let mut store = self.store();
        store.note_machine(&record.id, up.isolation, &up.not_enforced).or_fail()?;
        let event = Event::now(EventKind::Started, json!({}));
        store.journal(&record.id, &event, false, false).or_fail()?;
        Ok(Connected { guest: up.guest, started: true, notices: up.notices })
    }

    /// Waits until nobody looks at the disk through a machine that refuses commands.
    pub(crate) fn wait_for_looks(&self, record: &Record) -> Result<(), Failure> {
        self.lock_at_rest(record).map(|_| ())
    }

    /// Looks at the disk of a workspace: through its machine where that runs, else through one
    /// that is started for this look alone and ends with it.
    pub(crate) fn look<T>(
        &self,
        record: &Record,
        mut look: impl FnMut(&mut Guest) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        // A machine may end under a look: it was idle, or another's look is over. Then once more.
        let ended = |result: &Result<T, Failure>| {
            let codes = [Code::OutcomeUnknown, Code::WrongState];
            matches!(result, Err(failure) if codes.contains(&failure.code))
        };
        if let Some(mut guest) = self.reach(record)? {
            let result = look(&mut guest);
            if !ended(&result) {
                return result;
            }
        }
        let (lock, record) = self.lock_at_rest(record)?;
        if let Some(mut guest) = self.reach(&record)? {
            let result = look(&mut guest);
            if !ended(&result) {
                return result;
            }
        }
        // It ends with its last connection, and that may be another door's which came first and
        // went before this one was heard.
        let mut again = LOOKS;
        loop {
            let result =
                self.start_machine(&record, true, &lock).and_then(|mut up| look(&mut up.guest));
            // Held until it is down, so that no other door meets a machine that refuses commands.
            // It wrote nothing, so there is nothing to keep.
            self.end_without_keeping(&record)?;
            again -= 1;
            if again == 0 || !ended(&result) {
                return result;
            }
        }
    }

    /// Gives a workspace a fresh machine at the baseline. Can be done again from any step.
    pub(crate) fn reset_machine(
        &self,
        record: &Record,
        lock: &OperationLock,
    ) -> Result<Up, Failure> {
        let directory = self.layout().workspace(&record.id);
        if record.machine == MachineKind::Microvm {
            // Before anything is ended: without these there is no fresh one.
            self.fit_for_microvm()?;
        }
        let machine = self.machine(record.machine)?;
        let generation = self.store().begin_reset(&record.id).or_fail()?;
        crate::crash::point("reset.begun");
        self.end_without_keeping(record)?;
        crate::crash::point("reset.ended");
        self.import(record)?;
        self.store().end_running(&record.id, pyro_model::ExecState::Cancelled).or_fail()?;
        // What a killed reset began to move lies in its own trash: whatever stands here now, old or
        // fresh, goes to another.
        let base = format!("{}-{generation}", record.id);
        let trash = (0u32..)
            .map(|again| match again {
                0 => self.layout().trash().join(&base),
                n => self.layout().trash().join(format!("{base}-{n}")),
            })
            .find(|path| !path.exists())
            .unwrap_or_else(|| self.layout().trash().join(&base));
        machine.renew(&directory, &trash).or_fail()?;
        crate::crash::point("reset.renewed");
        let up = self.start_machine(record, false, lock)?;
        crate::crash::point("reset.started");
        let event = Event::now(EventKind::Reset, json!({ "to": "baseline" }));
        self.store().end_reset(&record.id, &event).or_fail()?;
        crate::crash::point("reset.done");
        self.discard(machine.as_ref(), &trash);
        Ok(up)
    }

    /// Ends the machine and waits for its end; what it did not write yet is not wanted.
    pub(crate) fn end_without_keeping(&self, record: &Record) -> Result<(), Failure> {
        let machine = self.machine(record.machine)?;
        let ending = machine.begin_end(&self.layout().workspace(&record.id)).or_fail()?;
        ending().or_fail()
    }
}

/// The bounds that nothing keeps, as replies show them.
fn not_enforced(enforcement: &[Enforcement]) -> serde_json::Value {
    enforcement
        .iter()
        .filter(|row| !row.enforced)
        .map(|row| json!({ "limit": row.limit, "why": row.how }))
        .collect()
}
