//! What mmdebstrap says on its standard error, as progress and, when it fails, as a reason.

use std::collections::VecDeque;

use crate::progress::{Progress, Stage};

/// Lines kept for the reason of a failure.
const TAIL: usize = 12;

/// Lines as they come.
#[derive(Debug, Default)]
pub(crate) struct Report {
    tail: VecDeque<String>,
    network: bool,
    full: bool,
    packages: Packages,
}

impl Report {
    /// Takes one line; what there is to show of it.
    pub(crate) fn line(&mut self, line: &str) -> Option<Progress> {
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
        let shown = self.packages.line(&line);
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
    pub(crate) fn network(&self) -> bool {
        self.network
    }

    /// Whether the disk was full.
    pub(crate) fn disk_full(&self) -> bool {
        self.full
    }

    /// The errors among the last lines, or else the last lines.
    pub(crate) fn reason(&self) -> String {
        let is_error = |line: &&String| line.starts_with("E: ") || line.starts_with("Err:");
        let errors: Vec<_> = self.tail.iter().filter(is_error).map(String::as_str).collect();
        match errors.is_empty() {
            true => self.tail.iter().map(String::as_str).collect::<Vec<_>>().join("; "),
            false => errors.join("; "),
        }
    }
}

/// How many packages there are, and how many steps of theirs are done: each is downloaded,
/// unpacked and set up.
#[derive(Debug, Default)]
struct Packages {
    total: u64,
    done: u64,
    shown: u8,
}

impl Packages {
    const STEPS: u64 = 3;

    /// Takes one line; what there is to show of it.
    fn line(&mut self, line: &str) -> Option<Progress> {
        let step = |detail: &str, percent| {
            let detail = detail.trim_end_matches("...").trim_end().to_owned();
            Some(Progress { stage: Stage::Bootstrapping, detail, percent })
        };
        if let Some(detail) = line.strip_prefix("I: ") {
            return step(detail, None);
        }
        if let Some((before, _)) = line.split_once(" newly installed") {
            let count = before.rsplit(' ').next().and_then(|count| count.parse::<u32>().ok());
            self.total += u64::from(count.unwrap_or_default());
            return None;
        }
        let is_package = self.total > 0
            && (line.starts_with("Unpacking ")
                || line.starts_with("Setting up ")
                || line.starts_with("Get:"));
        if !is_package {
            return None;
        }
        self.done += 1;
        // More packages can turn up later; what was shown never goes back.
        let percent = (self.done * 100 / (self.total * Self::STEPS)).min(100);
        self.shown = self.shown.max(u8::try_from(percent).unwrap_or(100));
        match line.strip_prefix("Get:").map(|rest| rest.split(' ').collect::<Vec<_>>()) {
            // Get:<n> <mirror> <suite> <architecture> <package> <architecture> <version> [<size>]
            Some(words) => step(&format!("Downloading {}", words.get(4)?), Some(self.shown)),
            None => step(line, Some(self.shown)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_steps_and_keeps_the_errors() {
        let mut report = Report::default();
        let step = report.line("I: running apt-get update...").unwrap();
        assert_eq!((step.detail.as_str(), step.percent), ("running apt-get update", None));
        assert!(report.line("Get:1 http://m bookworm InRelease [151 kB]").is_none());
        assert!(report.line("0 upgraded, 2 newly installed, 0 to remove.").is_none());
        for (line, detail, percent) in [
            ("Get:3 http://m bookworm/main amd64 mawk amd64 1.3 [119 kB]", "Downloading mawk", 16),
            ("Unpacking mawk (1.3) ...", "Unpacking mawk (1.3)", 33),
            ("Setting up mawk (1.3) ...", "Setting up mawk (1.3)", 50),
        ] {
            let shown = report.line(line).unwrap();
            assert_eq!((shown.detail.as_str(), shown.percent), (detail, Some(percent)));
        }
        assert!(report.line("").is_none());
        report.line("Err:1 http://nowhere bookworm InRelease");
        report.line("  Could not resolve 'nowhere'");
        report.line("E: apt-get update failed\u{1b}[31m");
        assert!(report.network() && !report.disk_full());
        let reason = "Err:1 http://nowhere bookworm InRelease; E: apt-get update failed\\u{1b}[31m";
        assert_eq!(report.reason(), reason);
    }
}
