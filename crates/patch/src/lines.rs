//! The lines of a patch, without what a chat puts around one.

/// The lines, without their newlines. A patch that is CRLF throughout was made so by its way here,
/// and is taken as LF; carriage returns of some lines only are content.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.split('\n').collect();
    // What ends with a newline has no line after it.
    if lines.last() == Some(&"") {
        lines.pop();
    }
    if !lines.is_empty() && lines.iter().all(|line| line.ends_with('\r')) {
        for line in &mut lines {
            *line = &line[..line.len() - 1];
        }
    }
    while lines.last().is_some_and(|line| is_fence(line)) {
        lines.pop();
    }
    lines
}

/// A line of Markdown that begins or ends a block of code.
pub(crate) fn is_fence(line: &str) -> bool {
    line.starts_with("```")
}

/// The next line with something in it, found once for all the empty ones before it: a patch of
/// empty lines would else be read as many times as it has lines.
#[derive(Default)]
pub(crate) struct Ahead {
    at: usize,
}

impl Ahead {
    /// The first line from `at` on that is not empty by this measure. `at` only grows.
    pub(crate) fn of<'l>(
        &mut self,
        lines: &[&'l str],
        at: usize,
        is_empty: fn(&str) -> bool,
    ) -> Option<&'l str> {
        self.at = self.at.max(at);
        while lines.get(self.at).is_some_and(|line| is_empty(line)) {
            self.at += 1;
        }
        lines.get(self.at).copied()
    }
}
