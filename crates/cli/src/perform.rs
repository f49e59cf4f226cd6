//! One operation from the command line: arguments to request, call, reply to words and exit code.

use std::os::fd::AsFd;

use clap::ArgMatches;
use pyro::{Client, Code, Context, Door, Failure};
use pyro_operations::{
    Operation, Request,
    chat_host::HostDoctor,
    exec::{VmRun, WorkspaceExec, WorkspaceExecStop, WorkspaceExecWait},
    host::Doctor,
};
use serde_json::{Value, json};

use crate::{
    arguments,
    conveniences::{self, Extra},
    exit,
    fields::Field,
    follow::Followed,
    globals::Globals,
    pages, render,
    terminal::{self, Steps},
};

/// One operation, as it was asked for.
pub(crate) struct Asked<'a> {
    pub(crate) operation: &'static Operation,
    pub(crate) fields: Vec<Field>,
    pub(crate) globals: &'a Globals,
    extras: Vec<Extra>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(
        operation: &'static Operation,
        fields: Vec<Field>,
        globals: &'a Globals,
    ) -> Self {
        Self { operation, fields, globals, extras: Vec::new() }
    }

    /// Whether this was asked for beside the fields.
    pub(crate) fn with(&self, extra: Extra) -> bool {
        self.extras.contains(&extra)
    }

    /// Whether the exit code is the command's.
    fn exits_as_the_command(&self) -> bool {
        exits_as_the_command(self.operation)
    }

    fn shows_a_command(&self) -> bool {
        let name = self.operation.name;
        self.exits_as_the_command()
            || matches!(name, WorkspaceExecWait::NAME | WorkspaceExecStop::NAME)
    }

    /// A failure in the form that was asked for, and its exit code.
    pub(crate) fn fail(&self, failure: &Failure) -> u8 {
        fail(failure, &self.fields, self.globals.json, self.exits_as_the_command())
    }
}

/// Whether the exit code of this operation is the command's.
pub(crate) fn exits_as_the_command(operation: &Operation) -> bool {
    matches!(operation.name, VmRun::NAME | WorkspaceExec::NAME)
}

/// A failure in the form that was asked for, and its exit code.
pub(crate) fn fail(failure: &Failure, fields: &[Field], json: bool, of_a_command: bool) -> u8 {
    if json {
        terminal::out(format!("{}\n", json!({ "error": failure })).as_bytes());
    } else {
        terminal::failure(failure, fields);
    }
    match failure.code {
        _ if pyro_sys::signal::was_interrupted() => exit::INTERRUPTED,
        _ if of_a_command => exit::PYRO_FAILED,
        code => code.exit(),
    }
}

/// Does what was asked for, once for each request.
pub(crate) fn operation(
    operation: &'static Operation,
    fields: Vec<Field>,
    matches: &ArgMatches,
    globals: &Globals,
) -> u8 {
    let mut asked = Asked::new(operation, fields, globals);
    let extras = conveniences::of(operation.name);
    asked.extras = extras
        .iter()
        .copied()
        .filter(|extra| extra.flag().is_some_and(|flag| matches.get_flag(flag)))
        .collect();
    let done = arguments::requests(&asked.fields, extras, matches).and_then(|requests| {
        let client = Client::open(globals.settings()?)?;
        Ok((client, requests))
    });
    let (client, requests) = match done {
        Ok(done) => done,
        Err(failure) => return asked.fail(&failure),
    };
    let mut code = exit::DONE;
    for request in &requests {
        let one = once(&asked, &client, request).unwrap_or_else(|failure| asked.fail(&failure));
        code = if code == exit::DONE { one } else { code };
        if pyro_sys::signal::was_interrupted() {
            return code;
        }
    }
    code
}

fn once(asked: &Asked<'_>, client: &Client, request: &Value) -> Result<u8, Failure> {
    let globals = asked.globals;
    let mut context = context(client)?;
    let (steps, progress) = Steps::new(globals.verbose);
    context.progress = Some(progress);
    context.patient = request.get("wait_s").is_none();
    if !confirmed(asked, client, request, &context)? {
        terminal::remark("nothing was done");
        return Ok(exit::DONE);
    }
    let mut followed = None;
    if !globals.json && asked.shows_a_command() && !asked.with(Extra::Detach) {
        // A reader that went away ends the command; SIGPIPE would end only its caller.
        pyro_sys::signal::ignore_broken_pipe();
        let (passing, live) = Followed::start(context.cancel.clone())
            .map_err(|error| Failure::new(Code::HostUnfit, format!("pass output on: {error}")))?;
        context.live = Some(live);
        followed = Some(passing);
    }
    let reply = if globals.json {
        client.call_json(asked.operation.name, request, &context)
    } else {
        pages::whole(asked, client, request, &context)
    };
    steps.end();
    if followed.as_ref().is_some_and(|followed| followed.is_broken()) {
        return Ok(exit::BROKEN_PIPE);
    }
    let reply = match reply {
        Err(failure) if failure.code == Code::Cancelled && !globals.json => {
            terminal::remark("interrupted");
            return Ok(exit::INTERRUPTED);
        }
        reply => reply?,
    };
    if globals.json {
        terminal::out(format!("{reply}\n").as_bytes());
    } else {
        render::reply(asked, request, &reply, followed.as_deref());
    }
    Ok(code(asked, request, &reply))
}

/// A call by a person: Ctrl-C cancels it.
pub(crate) fn context(client: &Client) -> Result<Context, Failure> {
    let context = Context { door: Door::CommandLine, ..client.context()? };
    let event = context.cancel.as_descriptor().as_fd().try_clone_to_owned();
    event
        .map_err(|error| error.to_string())
        .and_then(|event| {
            pyro_sys::signal::interrupt_signals(event).map_err(|error| error.to_string())
        })
        .map_err(|error| Failure::new(Code::HostUnfit, format!("listen to Ctrl-C: {error}")))?;
    Ok(context)
}

/// What deletes several things at once asks first, and says what it would delete.
fn confirmed(
    asked: &Asked<'_>,
    client: &Client,
    request: &Value,
    context: &Context,
) -> Result<bool, Failure> {
    let asks = conveniences::of(asked.operation.name).contains(&Extra::Yes);
    if !asks || asked.with(Extra::Yes) || request["dry_run"] == true {
        return Ok(true);
    }
    let mut trial = request.clone();
    trial["dry_run"] = Value::Bool(true);
    let would = client.call_json(asked.operation.name, &trial, context)?;
    let nothing = |key: &str| would[key].as_array().is_some_and(Vec::is_empty);
    if nothing("workspaces") || nothing("removed") {
        return Ok(true);
    }
    if !asked.globals.json {
        render::reply(asked, &trial, &would, None);
    }
    terminal::ask("Go on?").ok_or_else(|| {
        Failure::new(Code::InvalidArgument, "there is no terminal to ask on")
            .hint("give --yes to do it, or --dry-run to see what it would do")
    })
}

fn code(asked: &Asked<'_>, request: &Value, reply: &Value) -> u8 {
    if pyro_sys::signal::was_interrupted() {
        return exit::INTERRUPTED;
    }
    let checks = matches!(asked.operation.name, Doctor::NAME | HostDoctor::NAME);
    if checks && reply["healthy"] == false {
        return exit::TO_MEND;
    }
    if asked.exits_as_the_command() { command_code(request, reply) } else { exit::DONE }
}

/// As a shell would say it.
fn command_code(request: &Value, reply: &Value) -> u8 {
    let number = |key: &str| reply[key].as_u64().and_then(|n| u8::try_from(n).ok());
    match reply["state"].as_str() {
        Some("exited") => number("exit_code").unwrap_or(exit::PYRO_FAILED),
        Some("signaled") => number("signal")
            .and_then(|signal| exit::SIGNALED.checked_add(signal))
            .unwrap_or(exit::PYRO_FAILED),
        Some("timed_out") => exit::TIMED_OUT,
        Some("cancelled") => exit::INTERRUPTED,
        Some("running") if request["wait_s"] == 0 => exit::DONE,
        Some("running") => exit::TIMED_OUT,
        _ => exit::PYRO_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_exits_as_itself() {
        let request = json!({});
        let code = |reply: Value| command_code(&request, &reply);
        assert_eq!(code(json!({"state": "exited", "exit_code": 7})), 7);
        assert_eq!(code(json!({"state": "signaled", "signal": 9})), 137);
        assert_eq!(code(json!({"state": "timed_out", "signal": 9})), 124);
        assert_eq!(code(json!({"state": "lost"})), 125);
        assert_eq!(code(json!({"state": "running"})), 124);
        assert_eq!(command_code(&json!({"wait_s": 0}), &json!({"state": "running"})), 0);
    }
}
