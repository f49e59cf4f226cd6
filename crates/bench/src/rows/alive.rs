//! Workspaces that live and do nothing: their memory, and many of them at once.

use std::time::Instant;

use crate::{
    bench::Bench,
    error::Result,
    memory::{private_mib, proportional_mib},
    row::Row,
    samples::Samples,
};

/// Workspaces at once that the goal asks for.
const CROWD: usize = 200;

pub(super) fn idle(bench: &Bench) -> Result<Vec<Row>> {
    const PYRO: &str = "launcher and agent, private";
    let (mut samples, mut shared) = (Samples::default(), Samples::default());
    for _ in 0..bench.rounds(10).counted {
        let workspace = bench.pyro.create(Some(&bench.small()?.path))?;
        bench.pyro.call(&["workspace", "exec", &workspace, "--", "true"]).time()?;
        let processes = bench.pyro.processes(&workspace)?;
        samples.value(private_mib(&processes)?);
        shared.value(proportional_mib(&processes)?);
        bench.pyro.delete(&workspace)?;
    }
    let mut row = Row::new("memory of an idle workspace, after one command");
    row.unit = "MiB";
    row.candidates.push((PYRO, samples));
    row.candidates.push(("with their share of shared pages (Pss)", shared));
    row.bounds.push((PYRO, 3.0));
    Ok(vec![row])
}

pub(super) fn crowd(bench: &Bench) -> Result<Vec<Row>> {
    let count = if bench.quick { CROWD / 10 } else { CROWD };
    let small = &bench.small()?.path;
    let mut workspaces = Vec::new();
    let (mut create, mut exec, mut delete) =
        (Samples::default(), Samples::default(), Samples::default());
    let begun = Instant::now();
    for _ in 0..count {
        let start = Instant::now();
        workspaces.push(bench.pyro.create(Some(small))?);
        create.took(start.elapsed());
    }
    let created = begun.elapsed();
    for workspace in &workspaces {
        let program = bench.pyro.call(&["workspace", "exec", workspace, "--", "true"]);
        exec.took(program.time()?);
    }
    let mut memory = 0.0;
    for workspace in &workspaces {
        memory += private_mib(&bench.pyro.processes(workspace)?)?;
    }
    for workspace in &workspaces {
        let program = bench.pyro.call(&["workspace", "delete", workspace]);
        delete.took(program.time()?);
    }
    let mut row = Row::new(format!("{count} workspaces alive at once"));
    row.candidates = vec![
        ("pyro workspace create", create),
        ("pyro workspace exec W -- true", exec),
        ("pyro workspace delete", delete),
    ];
    let row = row.note(format!(
        "{count} created in {:.1} s; {memory:.0} MiB private memory together",
        created.as_secs_f64()
    ));
    Ok(vec![row])
}
