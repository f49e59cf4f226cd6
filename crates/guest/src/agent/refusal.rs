//! Saying no to one call: system errors and broken rules as the refusals of the protocol.

use pyro_protocol::message::{Refusal, RefusalKind};
use rustix::io::Errno;

/// What a call comes to.
pub(super) type Answer<T> = Result<T, Refusal>;

/// A refusal in words of our own.
pub(super) fn refuse(
    kind: RefusalKind,
    what: impl Into<String>,
    message: impl Into<String>,
) -> Refusal {
    Refusal { kind, what: cut(what.into()), message: cut(message.into()) }
}

/// A refusal for a system call that failed: `verb` is what was being done to `what`.
pub(super) fn from_errno(verb: &str, what: impl Into<String>, errno: Errno) -> Refusal {
    let what = cut(what.into());
    let message = format!("{verb} {what}: {}", reason(errno));
    Refusal { kind: kind_of(errno), what, message }
}

/// Paths are bytes; people read text.
pub(super) fn shown(path: &[u8]) -> String {
    if path.is_empty() { ".".to_owned() } else { String::from_utf8_lossy(path).into_owned() }
}

fn kind_of(errno: Errno) -> RefusalKind {
    match errno {
        Errno::NOENT => RefusalKind::NotFound,
        Errno::XDEV => RefusalKind::PathEscapes,
        Errno::NOTDIR | Errno::ISDIR => RefusalKind::WrongType,
        Errno::FBIG | Errno::TOOBIG => RefusalKind::TooLarge,
        Errno::NOSPC | Errno::DQUOT => RefusalKind::NoSpace,
        Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::TXTBSY => RefusalKind::Denied,
        Errno::LOOP | Errno::NAMETOOLONG | Errno::INVAL => RefusalKind::Invalid,
        _ => RefusalKind::System,
    }
}

pub(super) fn reason(errno: Errno) -> String {
    match errno {
        Errno::NOENT => "no such file or directory".to_owned(),
        Errno::XDEV => "it leads out of the workspace".to_owned(),
        Errno::NOTDIR => "not a directory".to_owned(),
        Errno::ISDIR => "it is a directory".to_owned(),
        Errno::NOSPC | Errno::DQUOT => "the disk is full".to_owned(),
        Errno::ACCESS | Errno::PERM => "permission denied".to_owned(),
        Errno::ROFS => "the file system is read-only".to_owned(),
        Errno::LOOP => "too many symbolic links".to_owned(),
        Errno::NAMETOOLONG => "the name is too long".to_owned(),
        other => std::io::Error::from(other).to_string(),
    }
}

// What a refusal quotes came from a caller or from the guest's disk: it stays short.
fn cut(mut text: String) -> String {
    const MOST: usize = 4_500;
    if text.len() > MOST {
        let end = (0..=MOST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
