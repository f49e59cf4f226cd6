//! Files below `/workspace`: the guest's agent does the work beneath its own handle.

mod edit;
mod list;
mod patch_apply;
mod read;
mod write;

use pyro_machine::GuestError;
use pyro_model::limits;
use pyro_operations::Failure;
use pyro_protocol::{GuestMessage, HostMessage};
use pyro_store::Record;
use std::time::Duration;

use crate::{
    Context, Engine,
    failure::{IntoFailure, OrFail},
};

/// How long an agent may take over one file or listing.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether a call starts a stopped workspace, or looks at its disk alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Guest,
    Disk,
}

impl Engine {
    /// Forgets how many changes there are, before there is another: killed after it, nobody would
    /// know.
    fn expect_change(&self, record: &Record) -> Result<(), Failure> {
        match record.changed_files {
            Some(_) => self.store().forget_changes(&record.id).or_fail(),
            None => Ok(()),
        }
    }

    /// Asks the agent one thing; whether the machine had to be started for it.
    fn ask_files(
        &self,
        record: &Record,
        need: Need,
        message: HostMessage,
        context: &Context,
    ) -> Result<(GuestMessage, bool), Failure> {
        match need {
            Need::Guest => {
                let mut connected = self.connect(record)?;
                let answer =
                    connected.guest.ask(message, PATIENCE, Some(&context.cancel)).or_fail()?;
                Ok((answer, connected.started))
            }
            Need::Disk => self
                .look(record, |guest| {
                    guest.ask(message.clone(), PATIENCE, Some(&context.cancel)).or_fail()
                })
                .map(|answer| (answer, false)),
        }
    }
}

fn unexpected(call: &'static str) -> Failure {
    GuestError::Unexpected { call }.into_failure()
}

/// Refuses a path that names `/workspace` itself where a file is meant.
fn file_path(record: &Record, path: &str) -> Result<String, Failure> {
    let relative = crate::lookup::guest_path(record, path)?;
    if relative.is_empty() {
        return Err(Failure::new(
            pyro_operations::Code::InvalidArgument,
            "path: it names /workspace itself, a file is needed",
        ));
    }
    debug_assert!(relative.len() <= limits::PATH_BYTES);
    Ok(relative)
}
