//! Programs, timed from just before their start to their end.
//!
//! `std` starts them with posix_spawn (no shell, no hooks, descriptors closed on exec), so what is
//! measured is one fork and exec on top of the program itself. Their output goes to files that
//! nobody reads unless they fail.

use std::{
    fs::File,
    io::{Read, Seek},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::error::{About, BenchError, Result};

/// A program with its arguments, to be run again and again.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    words: Vec<String>,
    variables: Vec<(String, String)>,
    directory: Option<PathBuf>,
}

impl Program {
    /// A program and its arguments.
    pub(crate) fn new<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        Self {
            words: words.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
            directory: None,
        }
    }

    /// More arguments.
    pub(crate) fn with<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.words.extend(words.into_iter().map(Into::into));
        self
    }

    /// With a variable.
    pub(crate) fn variable(mut self, name: &str, value: &Path) -> Self {
        self.variables.push((name.to_owned(), value.to_string_lossy().into_owned()));
        self
    }

    /// In a directory.
    pub(crate) fn within(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// The command, for callers that talk to it while it runs.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.words.first().map_or("", String::as_str));
        command.args(self.words.get(1..).unwrap_or_default());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// As it is named in failures.
    pub(crate) fn line(&self) -> String {
        self.words.join(" ")
    }

    /// Runs it and says how long that took.
    pub(crate) fn time(&self) -> Result<Duration> {
        self.run().map(|ran| ran.took)
    }

    /// Runs it and gives its output, without the last newline.
    pub(crate) fn output(&self) -> Result<String> {
        let mut out = self.run()?.out;
        let mut text = String::new();
        out.rewind()
            .and_then(|()| out.read_to_string(&mut text))
            .about(Path::new("the output file"))?;
        Ok(text.trim_end().to_owned())
    }

    fn run(&self) -> Result<Ran> {
        let (out, err) = (in_memory("out")?, in_memory("err")?);
        let copy = |file: &File| file.try_clone().about(Path::new("the output file"));
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(copy(&out)?).stderr(copy(&err)?);
        let start = Instant::now();
        let status = command
            .status()
            .map_err(|source| BenchError::Start { program: self.line(), source })?;
        let took = start.elapsed();
        if status.success() {
            return Ok(Ran { took, out });
        }
        Err(BenchError::Failed {
            program: self.line(),
            status: status.to_string(),
            said: last_words(&[out, err]),
        })
    }
}

struct Ran {
    took: Duration,
    out: File,
}

fn in_memory(name: &str) -> Result<File> {
    rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(std::io::Error::from)
        .about(Path::new("the output file"))
}

fn last_words(files: &[File]) -> String {
    let mut text = String::new();
    for mut file in files {
        let mut bytes = Vec::new();
        if file.rewind().is_ok() && file.read_to_end(&mut bytes).is_ok() {
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    let skip = text.chars().count().saturating_sub(800);
    text.chars().skip(skip).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_an_error_with_its_words() {
        let failed = Program::new(["sh", "-c", "echo why >&2; exit 3"]).time().unwrap_err();
        let text = failed.to_string();
        assert!(text.contains("exit status: 3") && text.contains("why"), "{text}");
        assert_eq!(Program::new(["echo", "a"]).with(["b"]).output().unwrap(), "a b");
        assert!(Program::new(["/does/not/exist"]).time().is_err());
    }
}
