//! `pyro-bench`: pyro beside its floor (`true`, `bwrap`) and its peers (podman with runc, Git), all
//! in one run, with medians, spread, and whether the goals are met.
//!
//! What counts are the ratios: the times of one computer say little about another. A missed goal
//! is a cross in the table; the exit code is 1 only where something failed to run.
//! `scripts/bench` installs and builds what this needs.

mod bench;
mod computer;
mod error;
mod mcp;
mod memory;
mod peers;
mod program;
mod projects;
mod pyro;
mod report;
mod row;
mod rows;
mod samples;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    bench::Bench,
    error::{About, BenchError, Result},
};

struct Options {
    pyro: PathBuf,
    cache: PathBuf,
    json: Option<PathBuf>,
    only: Vec<String>,
    quick: bool,
}

fn main() -> ExitCode {
    let done = options(std::env::args().skip(1)).and_then(|options| match options {
        Some(options) => run(&options),
        None => {
            rows::ALL.iter().for_each(|(name, _)| say(&format!("{name}\n")));
            Ok(true)
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// `None` asks for the list of rows.
fn options(mut words: impl Iterator<Item = String>) -> Result<Option<Options>> {
    let mut options = Options {
        pyro: PathBuf::from("pyro"),
        cache: PathBuf::from(".cache/bench"),
        json: None,
        only: Vec::new(),
        quick: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| BenchError::Flag(word.clone()));
        match word.as_str() {
            "--quick" => options.quick = true,
            "--only" => {
                let row = value()?;
                if !rows::ALL.iter().any(|(name, _)| *name == row) {
                    return Err(BenchError::Flag(format!("--only {row}")));
                }
                options.only.push(row);
            }
            "--json" => options.json = Some(value()?.into()),
            "--pyro" => options.pyro = value()?.into(),
            "--cache" => options.cache = value()?.into(),
            "--list" => return Ok(None),
            _ => return Err(BenchError::Flag(word)),
        }
    }
    options.cache = std::path::absolute(&options.cache).about(&options.cache)?;
    if options.pyro.components().count() > 1 {
        options.pyro = std::path::absolute(&options.pyro).about(&options.pyro)?;
    }
    Ok(Some(options))
}

/// Whether everything could be run.
fn run(options: &Options) -> Result<bool> {
    let (pyro, cache) = (options.pyro.clone(), options.cache.clone());
    let bench = Bench::new(pyro, cache, options.quick)?;
    let facts = computer::facts(&options.cache);
    say(&computer::lines(&facts));
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for (name, make) in rows::ALL {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        match make(&bench) {
            Ok(made) => {
                made.iter().for_each(|row| say(&report::table(row)));
                rows.extend(made);
            }
            Err(error) => {
                complain(&error);
                failed.push(*name);
            }
        }
    }
    bench.pyro.forget()?;
    let (goals, met) = report::tally(&rows);
    say(&format!("\n{met} of {goals} goals met\n"));
    if !failed.is_empty() {
        say(&format!("could not be measured: {}\n", failed.join(", ")));
    }
    if let Some(path) = &options.json {
        write_json(path, &report::object(&facts, &rows))?;
    }
    Ok(failed.is_empty())
}

fn write_json(path: &Path, object: &serde_json::Value) -> Result<()> {
    std::fs::write(path, format!("{object:#}\n")).about(path)
}

/// A closed output is no reason to stop measuring.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn complain(error: &BenchError) {
    let _ = writeln!(std::io::stderr(), "pyro-bench: failed to {error}");
}
