//! Where words go: standard output for what was asked for, standard error for pyro's own words.

use std::{
    io::{BufRead, IsTerminal, Write, stderr, stdin, stdout},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use pyro::{Failure, Progress, ProgressSink};

use crate::{
    fields::Field,
    idiom::{shown, spoken},
};

/// Steps of calls that are quicker than this are not shown.
const PATIENCE: Duration = Duration::from_millis(700);

/// Bytes on standard output, as they are. When nobody reads them any more, the process ends by
/// SIGPIPE, or the exit code of what was asked for stays.
pub(crate) fn out(bytes: &[u8]) {
    let mut stdout = stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// Text on standard output, safe for a terminal.
pub(crate) fn say(text: &str) {
    let mut text = shown(text);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    out(text.as_bytes());
}

/// pyro's own words, on standard error.
pub(crate) fn remark(text: &str) {
    let mut stderr = stderr().lock();
    let _ = writeln!(stderr, "{}", shown(text));
}

/// A content block: as it is, with a newline at its end on a terminal only.
pub(crate) fn content(bytes: &[u8]) {
    out(bytes);
    if !bytes.is_empty() && !bytes.ends_with(b"\n") && stdout().is_terminal() {
        out(b"\n");
    }
}

/// A failure for a person: what, and what to do next.
pub(crate) fn failure(failure: &Failure, fields: &[Field]) {
    remark(&format!("error: {} [{}]", spoken(&failure.message, fields), failure.code));
    // What was looked for and what is there are lines, and stand as such.
    for (detail, sign) in [("expected", '-'), ("found", '+')] {
        let lines = failure.details.get(detail).and_then(|value| value.as_str());
        for line in lines.into_iter().flat_map(str::lines) {
            remark(&format!(" {detail:>8} {sign}{line}"));
        }
    }
    if !failure.hint.is_empty() {
        remark(&format!(" hint: {}", spoken(&failure.hint, fields)));
    }
}

/// Asks on a terminal. Elsewhere there is nobody to ask: None.
pub(crate) fn ask(question: &str) -> Option<bool> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return None;
    }
    let mut asked = stderr().lock();
    let _ = write!(asked, "{question} [y/N] ").and_then(|()| asked.flush());
    let mut answer = String::new();
    let _ = stdin().lock().read_line(&mut answer);
    Some(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Shows the steps of a long call while it lasts.
#[derive(Debug)]
pub(crate) struct Steps {
    line_is_open: Arc<AtomicBool>,
}

impl Steps {
    /// The steps, and what hears of them.
    pub(crate) fn new(verbose: bool) -> (Self, ProgressSink) {
        let began = Instant::now();
        let on_terminal = stderr().is_terminal();
        let line_is_open = Arc::new(AtomicBool::new(false));
        let open = line_is_open.clone();
        let sink = move |step: &Progress| {
            if !verbose && began.elapsed() < PATIENCE {
                return;
            }
            let percent = step.percent.map_or_else(String::new, |p| format!(" {p}%"));
            let text = shown(&format!("{}{percent}", step.message));
            let mut stderr = stderr().lock();
            if on_terminal && !verbose {
                open.store(true, Ordering::SeqCst);
                let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
            } else {
                let _ = writeln!(stderr, "{text}");
            }
        };
        (Self { line_is_open }, Arc::new(sink))
    }

    /// Takes the last step off the terminal.
    pub(crate) fn end(&self) {
        if self.line_is_open.swap(false, Ordering::SeqCst) {
            let mut stderr = stderr().lock();
            let _ = write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush());
        }
    }
}
