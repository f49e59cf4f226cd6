//! The microVM beside its own bounds: clones of a template, commands in them, resets, memory. The
//! title says what ran the guests' instructions, since emulation and KVM are not to be compared.
//!
//! Has a home of its own that stays in the cache: an environment and its kernel are pulled once.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use crate::{
    bench::Bench,
    error::Result,
    mcp::McpServer,
    memory::private_mib,
    pyro::Pyro,
    row::{Row, Turn},
    samples::Samples,
};

const ENVIRONMENT: &str = "debian:12";
/// Clones at once that the goal asks for.
const CROWD: usize = 20;
/// Commands whose cost inside is measured together.
const LOOP: u32 = 200;

/// The prepared home, and what runs the instructions.
struct Prepared {
    pyro: Pyro,
    isolation: String,
}

fn prepared(bench: &Bench) -> Result<Prepared> {
    let pyro = Pyro::kept(&bench.program, &bench.cache.join("microvm"))?;
    pyro.call(&["env", "pull", ENVIRONMENT]).time()?;
    let prepare = pyro.call(&["prepare", ENVIRONMENT, "--machine", "microvm", "--json"]);
    let reply: serde_json::Value = serde_json::from_str(&prepare.output()?).unwrap_or_default();
    let isolation = reply["isolation"].as_str().unwrap_or("microvm").to_owned();
    Ok(Prepared { pyro, isolation })
}

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let prepared = prepared(bench)?;
    let rows = vec![
        clones(bench, &prepared)?,
        boots(bench, &prepared)?,
        commands(bench, &prepared)?,
        resets(bench, &prepared)?,
        memory(bench, &prepared)?,
        crowd(bench, &prepared)?,
    ];
    prepared.pyro.clear()?;
    Ok(rows)
}

/// "Create from a template to first exec", and that it does not grow with the repo.
fn clones(bench: &Bench, Prepared { pyro, isolation }: &Prepared) -> Result<Row> {
    const ENGINE: &str = "create and exec true in one process, 100 files";
    const SMALL: &str = "two calls of the command line, 100 files";
    const LARGE: &str = "two calls of the command line, 100,000 files";
    const RUN: &str = "pyro run debian:12 -- true";
    let (small, large) = (&bench.small()?.path, &bench.large()?.path);
    let serve = ["mcp", "serve", "--machine", "microvm", "--environment", ENVIRONMENT];
    let server = RefCell::new(McpServer::start(&pyro.call(&serve).within(small))?);
    // The images of both seeds are made by the rounds that do not count.
    let turn = |project| -> Turn<'_> { Box::new(move || create_and_exec(pyro, project)) };
    let run = pyro.call(&["run", ENVIRONMENT, "--machine", "microvm", "--", "true"]);
    let turns: Vec<(&'static str, Turn<'_>)> = vec![
        (
            ENGINE,
            Box::new(|| {
                let (workspace, took) = server.borrow_mut().create_and_exec()?;
                pyro.delete(&workspace)?;
                Ok(took)
            }),
        ),
        (SMALL, turn(small)),
        (LARGE, turn(large)),
        (RUN, Box::new(move || run.time())),
    ];
    let title = format!("{isolation}: from a template to the first command");
    let mut row = Row::new(title).measure(bench.rounds(20), turns)?.goal(LARGE, 1.25, SMALL);
    row.bounds.extend([ENGINE, SMALL].map(|name| (name, 250.0)));
    Ok(row.note("making a seed of the project on the host is in the time and grows with it"))
}

fn create_and_exec(pyro: &Pyro, project: &std::path::Path) -> Result<Duration> {
    let start = Instant::now();
    let workspace = pyro.create_in(ENVIRONMENT, "microvm", Some(project))?;
    pyro.call(&["workspace", "exec", &workspace, "--", "true"]).time()?;
    let took = start.elapsed();
    pyro.delete(&workspace)?;
    Ok(took)
}

/// "Cold boot to agent": the boot of a template, and all of its making beside it.
fn boots(bench: &Bench, Prepared { pyro, isolation }: &Prepared) -> Result<Row> {
    const BOOT: &str = "cold boot, QEMU's start to the agent";
    const MADE: &str = "with its saving, as a template";
    let (mut boot, mut made) = (Samples::default(), Samples::default());
    for _ in 0..bench.rounds(5).counted {
        let force = ["prepare", ENVIRONMENT, "--machine", "microvm", "--force", "--json"];
        let said = pyro.call(&force).output()?;
        let reply: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        let (Some(booted), Some(prepared)) =
            (reply["boot_ms"].as_f64(), reply["prepare_ms"].as_f64())
        else {
            return Err(crate::error::BenchError::Reply { what: "pyro prepare", said });
        };
        boot.value(booted);
        made.value(prepared);
    }
    let mut row = Row::new(format!("{isolation}: cold boot"));
    row.candidates = vec![(BOOT, boot), (MADE, made)];
    row.bounds.push((BOOT, 2_000.0));
    Ok(row)
}

fn commands(bench: &Bench, Prepared { pyro, isolation }: &Prepared) -> Result<Row> {
    const INSIDE: &str = "true, started by a shell inside";
    const MCP: &str = "workspace_exec over MCP";
    const CLI: &str = "pyro workspace exec W -- true";
    let workspace = pyro.create_in(ENVIRONMENT, "microvm", Some(&bench.small()?.path))?;
    let line = format!("i=0; while [ $i -lt {LOOP} ]; do /bin/true; i=$((i+1)); done");
    let many = pyro.call(&["workspace", "exec", &workspace, "--", "sh", "-c", &line]);
    let nothing = pyro.call(&["workspace", "exec", &workspace, "--", "sh", "-c", ":"]);
    let exec = pyro.call(&["workspace", "exec", &workspace, "--", "true"]);
    let served = pyro.call(&["mcp", "serve"]).within(&bench.small()?.path);
    let server = RefCell::new(McpServer::start(&served)?);
    let turns: Vec<(&'static str, Turn<'_>)> = vec![
        (INSIDE, Box::new(move || Ok(many.time()?.saturating_sub(nothing.time()?) / LOOP))),
        (MCP, Box::new(|| server.borrow_mut().exec_true(&workspace))),
        (CLI, Box::new(move || exec.time())),
    ];
    let title = format!("{isolation}: one command in a live workspace");
    let mut row = Row::new(title).measure(bench.rounds(30), turns)?;
    let inside = row.samples(INSIDE).map_or(f64::NAN, Samples::median);
    row.bounds.push((MCP, 1.5 * inside + 5.0));
    drop(server);
    pyro.delete(&workspace)?;
    Ok(row.note("the bound is 1.5 times the command's cost inside, and 5 ms"))
}

fn resets(bench: &Bench, Prepared { pyro, isolation }: &Prepared) -> Result<Row> {
    const SMALL: &str = "pyro workspace reset, 100 files";
    const LARGE: &str = "pyro workspace reset, 100,000 files";
    let small = pyro.create_in(ENVIRONMENT, "microvm", Some(&bench.small()?.path))?;
    let large = pyro.create_in(ENVIRONMENT, "microvm", Some(&bench.large()?.path))?;
    let turn = |workspace: &str| -> Turn<'_> {
        let change = pyro.call(&["workspace", "exec", workspace, "--", "touch", "part0001/new"]);
        let reset = pyro.call(&["workspace", "reset", workspace]);
        Box::new(move || {
            change.time()?;
            reset.time()
        })
    };
    let turns = vec![(SMALL, turn(&small)), (LARGE, turn(&large))];
    let title = format!("{isolation}: reset to the baseline");
    let mut row = Row::new(title).measure(bench.rounds(20), turns)?.goal(LARGE, 1.25, SMALL);
    row.bounds.extend([(SMALL, 250.0), (LARGE, 250.0)]);
    pyro.delete(&small)?;
    pyro.delete(&large)?;
    Ok(row)
}

fn memory(bench: &Bench, Prepared { pyro, isolation }: &Prepared) -> Result<Row> {
    const FRESH: &str = "fresh and idle, private";
    const USED: &str = "after git and python, private";
    let (mut fresh, mut used) = (Samples::default(), Samples::default());
    // Beside another clone: pages of the template that nobody changed are nobody's own then.
    let other = pyro.create_in(ENVIRONMENT, "microvm", Some(&bench.small()?.path))?;
    for _ in 0..bench.rounds(5).counted {
        let workspace = pyro.create_in(ENVIRONMENT, "microvm", Some(&bench.small()?.path))?;
        let processes = pyro.processes(&workspace)?;
        fresh.value(private_mib(&processes)?);
        let line = "git init -q /tmp/g; git -C /tmp/g status -s; python3 -c 'import json, ssl'";
        pyro.call(&["workspace", "exec", &workspace, "--", "sh", "-c", line]).time()?;
        used.value(private_mib(&processes)?);
        pyro.delete(&workspace)?;
    }
    pyro.delete(&other)?;
    let mut row = Row::new(format!("{isolation}: memory of a clone, monitor and QEMU"));
    row.unit = "MiB";
    row.candidates = vec![(FRESH, fresh), (USED, used)];
    row.bounds.push((FRESH, 60.0));
    Ok(row)
}

fn crowd(bench: &Bench, Prepared { pyro, isolation }: &Prepared) -> Result<Row> {
    let count = if bench.quick { CROWD / 4 } else { CROWD };
    let (mut create, mut exec) = (Samples::default(), Samples::default());
    let mut workspaces = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        workspaces.push(pyro.create_in(ENVIRONMENT, "microvm", Some(&bench.small()?.path))?);
        create.took(start.elapsed());
    }
    let mut memory = 0.0;
    for workspace in &workspaces {
        exec.took(pyro.call(&["workspace", "exec", workspace, "--", "true"]).time()?);
        memory += private_mib(&pyro.processes(workspace)?)?;
    }
    for workspace in &workspaces {
        pyro.delete(workspace)?;
    }
    let mut row = Row::new(format!("{isolation}: {count} clones alive at once"));
    row.candidates = vec![("create", create), ("exec true", exec)];
    Ok(row.note(format!("{memory:.0} MiB private memory together")))
}
