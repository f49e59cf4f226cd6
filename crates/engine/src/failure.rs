//! Every error below the engine becomes one `Failure`, here and nowhere else.
//!
//! The matches are exhaustive where the enum lets them be: a new variant does not compile until it
//! has a code and a way out.

use pyro_chat_hosts::ChatHostError;
use pyro_environment::{EnvironmentError, ErrorKind, host::HostError, kernel::KernelError};
use pyro_machine::{GuestError, MachineError};
use pyro_operations::{Code, Failure};
use pyro_protocol::message::{Refusal, RefusalKind};
use pyro_store::StoreError;

/// What was being done, for errors whose message does not say.
pub(crate) trait OrFail<T> {
    /// Turns the error into a failure.
    fn or_fail(self) -> Result<T, Failure>;
}

impl<T, E: IntoFailure> OrFail<T> for Result<T, E> {
    fn or_fail(self) -> Result<T, Failure> {
        self.map_err(IntoFailure::into_failure)
    }
}

/// An error that has a place in the table of codes.
pub(crate) trait IntoFailure {
    /// The failure that all doors show.
    fn into_failure(self) -> Failure;
}

/// The message of an error and of all that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

fn failed(code: Code, error: &dyn std::error::Error) -> Failure {
    Failure::new(code, format!("failed to {}", chain(error)))
}

/// With the way out that its code has, where nobody knew a better one: no failure is without.
pub(crate) fn hinted(failure: Failure) -> Failure {
    if !failure.hint.is_empty() {
        return failure;
    }
    let hint = match failure.code {
        Code::InvalidArgument => "correct what the message names, then call again",
        Code::NotFound | Code::Ambiguous => "workspace_list shows the workspaces there are",
        Code::AlreadyExists => "take another name",
        Code::Conflict => "look at what is there now with workspace_file_read, then call again",
        Code::Busy | Code::Deadline | Code::Cancelled => "try again in a moment",
        Code::WrongState => "workspace_status says how the workspace stands",
        Code::NotPermitted => "ask the person who started this server, or do without it",
        Code::PathEscapes => "give a path below /workspace that no link leads out of",
        Code::HostileInput => {
            "take what the message names out of the source, or seed a directory with seed_path"
        }
        Code::TooLarge | Code::LimitReached => "ask for less, or delete what is no longer needed",
        Code::NotText => "read it with encoding `base64`",
        Code::Unsupported => "leave the field out that asks for it",
        Code::HostUnfit => "`pyro doctor` says what this host lacks and how to mend it",
        Code::EnvironmentMissing | Code::EnvironmentDamaged => {
            "environment_list shows what there is; leave environment out for `host`"
        }
        Code::SourceFailed => "check that the source is whole, or leave it out for the project",
        Code::NetworkFailed => "check name, proxy and certificates, then try again",
        Code::NoSpace => "free space, then try again",
        Code::ClientConfig => "correct the file that the message names",
        Code::MachineFailed | Code::NotReady => "workspace_reset gives a fresh machine",
        Code::OutcomeUnknown => "workspace_logs says what was run",
        Code::StoreDamaged | Code::Internal => {
            "run `pyro doctor`; what it prints belongs into a report of this failure"
        }
    };
    failure.hint(hint)
}

/// The host's disk is full.
pub(crate) fn no_space(message: String) -> Failure {
    Failure::new(Code::NoSpace, message)
        .hint("free space on this file system; `pyro workspace prune` and `pyro env prune` help")
}

impl IntoFailure for StoreError {
    fn into_failure(self) -> Failure {
        let code = match &self {
            Self::File { source, .. } if is_full(source) => {
                return no_space(format!("failed to {}", chain(&self)));
            }
            Self::File { .. } => Code::HostUnfit,
            Self::Untrusted { path, .. } => {
                return failed(Code::HostUnfit, &self).detail("check", "home").hint(format!(
                    "run `chmod 700 {}`, or name another home with --home",
                    path.display()
                ));
            }
            Self::Database { source, .. } => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => {
                    return no_space(format!("failed to {}", chain(&self)));
                }
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                    Code::Busy
                }
                _ => Code::StoreDamaged,
            },
            Self::Newer { .. } => {
                return failed(Code::StoreDamaged, &self)
                    .hint("use the newer pyro that wrote it, or another home with --home");
            }
            Self::Damaged { .. } => Code::StoreDamaged,
            Self::NameTaken { taken_by, .. } => {
                return failed(Code::AlreadyExists, &self)
                    .hint("take another name, or go on in that workspace with workspace_status")
                    .detail("kind", "name")
                    .detail("workspace", taken_by.clone());
            }
            Self::TooMany { most, .. } => {
                return failed(Code::LimitReached, &self)
                    .hint("delete one that is no longer needed with workspace_delete; workspace_list shows them")
                    .detail("most", *most);
            }
            Self::Busy { .. } => Code::Busy,
        };
        failed(code, &self)
    }
}

impl IntoFailure for GuestError {
    fn into_failure(self) -> Failure {
        match self {
            Self::Refused(refusal) => refusal.into_failure(),
            Self::Cancelled => Failure::new(Code::Cancelled, "the caller cancelled"),
            Self::Deadline(_) => failed(Code::Deadline, &self)
                .hint("try again; if it stays so, workspace_reset gives a fresh machine"),
            Self::Gone => failed(Code::OutcomeUnknown, &self)
                .hint("workspace_status says how the workspace stands; workspace_logs what was run"),
            Self::Version { .. } => failed(Code::WrongState, &self)
                .hint("this workspace was started by another version of pyro: workspace_reset gives it a machine of this one"),
            Self::Stream(_) | Self::Codec(_) | Self::Unexpected { .. } => {
                failed(Code::MachineFailed, &self).hint("workspace_reset gives a fresh machine")
            }
        }
    }
}

/// Characters of a guest's own words that are passed on.
const SAID_MOST: usize = 4_000;

/// What a guest says, bounded, and without what a terminal would obey.
fn said(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_MOST).collect()
}

impl IntoFailure for Refusal {
    fn into_failure(self) -> Failure {
        let (code, hint) = match self.kind {
            RefusalKind::NotFound => (Code::NotFound, "workspace_file_list shows what is there"),
            RefusalKind::PathEscapes => {
                (Code::PathEscapes, "give a path below /workspace that no link leads out of")
            }
            RefusalKind::WrongType => {
                (Code::InvalidArgument, "workspace_file_list shows what each path is")
            }
            RefusalKind::TooLarge => (Code::TooLarge, "take a part of it, or use workspace_export"),
            RefusalKind::NotText => (Code::NotText, "read it with encoding `base64`"),
            RefusalKind::EditMissing => (
                Code::Conflict,
                "read the file again with workspace_file_read and copy the text exactly",
            ),
            RefusalKind::EditAmbiguous => {
                (Code::Conflict, "give more of the text around it, or set replace_all")
            }
            RefusalKind::NoSpace => {
                (Code::NoSpace, "remove files in the workspace, or workspace_reset it")
            }
            RefusalKind::Denied => (Code::NotPermitted, "the workspace's own file modes say no"),
            RefusalKind::Invalid => (Code::InvalidArgument, ""),
            RefusalKind::System => {
                (Code::MachineFailed, "workspace_status says how the workspace stands")
            }
        };
        let failure = Failure::new(code, said(&self.message)).detail("what", said(&self.what));
        if hint.is_empty() { failure } else { failure.hint(hint) }
    }
}

impl IntoFailure for MachineError {
    fn into_failure(self) -> Failure {
        match self {
            Self::Guest(error) => error.into_failure(),
            Self::System { ref source, .. } | Self::Launch { ref source, .. }
                if is_full(source) =>
            {
                no_space(format!("failed to {}", chain(&self)))
            }
            Self::System { .. } | Self::Launch { .. } => {
                failed(Code::MachineFailed, &self).hint("`pyro doctor` says what this host lacks")
            }
            Self::HostUnfit { check, ref mend, .. } => {
                let hint = mend.clone();
                failed(Code::HostUnfit, &self).hint(hint).detail("check", check)
            }
            Self::Unsupported { ref instead, .. } => {
                let instead = instead.clone();
                failed(Code::Unsupported, &self).hint(instead.clone()).detail("instead", instead)
            }
            Self::Busy(_) => failed(Code::Busy, &self),
            Self::NotRunning(_) => failed(Code::WrongState, &self),
        }
    }
}

/// The code of an environment's or a kernel's failure.
fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Missing => Code::EnvironmentMissing,
        ErrorKind::Damaged => Code::EnvironmentDamaged,
        ErrorKind::SourceFailed => Code::SourceFailed,
        ErrorKind::NetworkFailed => Code::NetworkFailed,
        ErrorKind::HostileInput => Code::HostileInput,
        ErrorKind::TooLarge => Code::TooLarge,
        ErrorKind::NoSpace => Code::NoSpace,
        ErrorKind::Busy => Code::Busy,
        ErrorKind::HostUnfit => Code::HostUnfit,
        ErrorKind::Internal => Code::Internal,
    }
}

impl IntoFailure for EnvironmentError {
    fn into_failure(self) -> Failure {
        match code_of(self.kind()) {
            Code::NoSpace => no_space(format!("failed to {}", chain(&self))),
            code => failed(code, &self)
                .hint(self.hint().unwrap_or_default())
                .detail("kind", "environment"),
        }
    }
}

impl IntoFailure for KernelError {
    fn into_failure(self) -> Failure {
        match code_of(self.kind()) {
            Code::NoSpace => no_space(format!("failed to {}", chain(&self))),
            code => {
                failed(code, &self).hint(self.hint().unwrap_or_default()).detail("kind", "kernel")
            }
        }
    }
}

impl IntoFailure for HostError {
    fn into_failure(self) -> Failure {
        match &self {
            Self::System { .. } => failed(Code::HostUnfit, &self),
            Self::Skeleton { source, .. } if is_full(source) => {
                no_space(format!("failed to {}", chain(&self)))
            }
            Self::Skeleton { .. } | Self::Key { .. } => failed(Code::Internal, &self),
        }
    }
}

impl IntoFailure for ChatHostError {
    fn into_failure(self) -> Failure {
        let failure = |code| failed(code, &self).detail("kind", "chat_host");
        let of_file = |path: &std::path::Path, hint: &str| {
            let failure = failure(Code::ClientConfig);
            failure.detail("file", path.display().to_string()).hint(hint)
        };
        match &self {
            Self::File { source, .. } if is_full(source) => {
                no_space(format!("failed to {}", chain(&self)))
            }
            Self::File { path, .. } => of_file(
                path,
                "mend the file, or put in by hand what host_print_config prints",
            ),
            Self::Unfit { path, hint, .. } => of_file(path, hint),
            Self::Malformed { path, line, .. } => of_file(
                path,
                "correct the line, or call host_repair, which keeps a copy of the file and writes a new one",
            )
            .detail("line", *line),
            Self::Key { path, key, .. } => of_file(
                path,
                "correct the key, or put in by hand what host_print_config prints",
            )
            .detail("key", key.as_str()),
            Self::Taken { path, name, .. } => failure(Code::AlreadyExists)
                .hint("give pyro's server another name with --as NAME")
                .detail("kind", "name")
                .detail("name", name.as_str())
                .detail("file", path.display().to_string()),
            Self::Unsuitable { hint, .. } => failure(Code::InvalidArgument).hint(hint.as_str()),
            Self::Program(_) => {
                failure(Code::HostUnfit).hint("start pyro from a path that exists, then try again")
            }
        }
    }
}

impl IntoFailure for std::io::Error {
    fn into_failure(self) -> Failure {
        if is_full(&self) {
            no_space(self.to_string())
        } else {
            Failure::new(Code::Internal, self.to_string())
        }
    }
}

/// A file of the host that could not be used, by its path.
pub(crate) fn host_file(step: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    let message = format!("failed to {step} {}: {error}", path.display());
    if is_full(error) {
        return no_space(message);
    }
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => Code::NotFound,
        std::io::ErrorKind::AlreadyExists => Code::AlreadyExists,
        std::io::ErrorKind::PermissionDenied => Code::NotPermitted,
        _ => Code::Internal,
    };
    Failure::new(code, message).detail("kind", "host_file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let error = StoreError::File {
            step: "open",
            path: "/x".into(),
            source: std::io::Error::other("why"),
        };
        assert_eq!(error.into_failure().message, "failed to open /x: why");
    }

    #[test]
    fn a_guest_that_refuses_at_length_is_cut_short_and_moves_no_cursor() {
        let words = format!("open it\u{1b}[2J{}", "x".repeat(1 << 20));
        let refusal = Refusal { kind: RefusalKind::System, what: words.clone(), message: words };
        let failure = refusal.into_failure();
        assert_eq!(failure.message.chars().count(), SAID_MOST);
        assert!(failure.message.starts_with("open it [2J") && !failure.message.contains('\u{1b}'));
        assert!(failure.details["what"].as_str().unwrap().len() <= SAID_MOST);
    }
}
