//! Reads a patch: unified diffs, git's diffs and the `*** Begin Patch` form, as they are really
//! written: wrong or missing counts, no `diff --git`, `a/` and `b/` or none, CRLF, empty lines for
//! empty context, prose and code fences around it.
//!
//! Promises: any text is either a patch or an error with its line, in time and memory that grow
//! with its length; no path, count or size in it is believed further than that. Does no IO and
//! judges no path: whoever applies it does.

mod binary;
mod envelope;
mod lines;
mod names;
mod unified;

pub use binary::DIGITS;
use pyro_protocol::patch::Patch;

/// Files that one patch may name.
pub const MOST_FILES: usize = 10_000;
/// Lines of one patch: each costs many times its bytes.
pub const MOST_LINES: usize = 1_000_000;
/// Bytes that the binary parts of one patch may unpack to.
pub const MOST_BINARY: usize = 8 << 20;

/// Why a text is not a patch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PatchError {
    /// Where, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// Reads a patch of any form.
///
/// # Errors
/// The first line that no form allows, or that there is none.
pub fn read(text: &str) -> Result<Patch, PatchError> {
    let count = text.bytes().filter(|byte| *byte == b'\n').count();
    if count > MOST_LINES {
        return Err(fault(MOST_LINES, format!("more than {MOST_LINES} lines: make several of it")));
    }
    let lines = lines::split(text);
    let patch = match lines.iter().position(|line| line.trim() == envelope::BEGIN) {
        Some(begin) => envelope::read(&lines, begin)?,
        None => unified::read(&lines)?,
    };
    if patch.files.is_empty() {
        let what = "there is no patch in it: it needs `--- a/FILE` and `+++ b/FILE` before its \
                    hunks, or the `*** Begin Patch` form";
        return Err(fault(0, what));
    }
    Ok(patch)
}

fn fault(at: usize, what: impl Into<String>) -> PatchError {
    PatchError { line: at + 1, what: what.into() }
}

#[cfg(test)]
mod tests;
