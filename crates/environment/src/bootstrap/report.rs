//! What mmdebstrap says on its standard error, as progress and, when it fails, as a reason.

use std::collections::VecDeque;

use crate::progress::{Progress, Stage};

/// Lines kept for the reason of a failure.
const TAIL: usize = 12;

/// Lines as they come.
#[derive(Debug, Default)]
pub(super) struct Report {
    tail: VecDeque<String>,
    network: bool,
    full: bool,
}

impl Report {
    /// Takes one line; what there is to show of it.
    pub(super) fn line(&mut self, line: &str) -> Option<Progress> {
        let line = crate::unpack::printable(line.trim().as_bytes());
        if line.is_empty() {
            return None;
        }
        let network = [
            "Temporary failure resolving",
            "Could not resolve",
            "Could not connect",
            "Unable to connect",
            "Connection refused",
            "Connection timed out",
            "connection timed out",
            "Network is unreachable",
            "Proxy Authentication",
            "Certificate verification failed",
            "No system certificates available",
        ];
        self.network |= network.iter().any(|mark| line.contains(mark));
        self.full |= line.contains("No space left on device");
        let shown = progress(&line);
        // Percentages say nothing about why it failed.
        if shown.as_ref().is_none_or(|shown| shown.percent.is_none()) {
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(line);
        }
        shown
    }

    /// Whether the network was at fault.
    pub(super) fn network(&self) -> bool {
        self.network
    }

    /// Whether the disk was full.
    pub(super) fn disk_full(&self) -> bool {
        self.full
    }

    /// The errors among the last lines, or else the last lines.
    pub(super) fn reason(&self) -> String {
        let is_error = |line: &&String| line.starts_with("E: ") || line.starts_with("Err:");
        let errors: Vec<_> = self.tail.iter().filter(is_error).map(String::as_str).collect();
        match errors.is_empty() {
            true => self.tail.iter().map(String::as_str).collect::<Vec<_>>().join("; "),
            false => errors.join("; "),
        }
    }
}

/// `I: <step>...` or `pmstatus:`/`dlstatus:` lines, which are `kind:item:percent:text`.
fn progress(line: &str) -> Option<Progress> {
    let step = |detail: &str, percent| {
        let detail = detail.to_owned();
        Some(Progress { stage: Stage::Bootstrapping, detail, percent })
    };
    if let Some(detail) = line.strip_prefix("I: ") {
        return step(detail.trim_end_matches("..."), None);
    }
    if let Some((detail, percent)) = bar(line) {
        return step(detail, Some(percent));
    }
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("Unpacking" | "Setting"), Some(_)) => step(line.trim_end_matches(" ..."), None),
        (Some(get), Some(_)) if get.starts_with("Get:") => step(line, None),
        _ => None,
    }
}

/// `downloading: [####   ] 42.00% ...` in whatever width.
fn bar(line: &str) -> Option<(&str, u8)> {
    let (before, _) = line.split_once('%')?;
    let number = before.rsplit([' ', ']', '[', ':', '\r']).next()?;
    let percent: f32 = number.parse().ok()?;
    if !(0.0..=100.0).contains(&percent) {
        return None;
    }
    let detail = line.split(['[', ':']).next()?.trim();
    // In range as checked above, and the fraction is of no interest.
    let percent = format!("{percent:.0}").parse().ok()?;
    Some((if detail.is_empty() { "packages" } else { detail }, percent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_steps_and_keeps_the_errors() {
        let mut report = Report::default();
        let step = report.line("I: running apt-get update...").unwrap();
        assert_eq!((step.detail.as_str(), step.percent), ("running apt-get update", None));
        let bar = report.line("downloading packages: [####    ] 42.4%").unwrap();
        assert_eq!((bar.detail.as_str(), bar.percent), ("downloading packages", Some(42)));
        assert!(report.line("").is_none());
        report.line("Err:1 http://nowhere bookworm InRelease");
        report.line("  Could not resolve 'nowhere'");
        report.line("E: apt-get update failed\u{1b}[31m");
        assert!(report.network() && !report.disk_full());
        let reason = "Err:1 http://nowhere bookworm InRelease; E: apt-get update failed\\u{1b}[31m";
        assert_eq!(report.reason(), reason);
    }
}
