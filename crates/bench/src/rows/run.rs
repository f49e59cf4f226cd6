//! `pyro run host -- true`, from the start of the process to its end.

use crate::{
    bench::{Bench, is_root},
    error::Result,
    peers::{bare_true, bwrap},
    row::{Row, Turn},
};

/// Candidates of this row that an ordinary user has, too.
pub(super) const PYRO: &str = "pyro run host -- true";
pub(super) const BWRAP: &str = "bwrap";

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let (run, bwrap, bare) =
        (bench.pyro.call(&["run", "host", "--", "true"]), bwrap(), bare_true());
    let podman = bench.podman()?.map(crate::peers::Podman::run_true);
    let mut turns: Vec<(&'static str, Turn<'_>)> = vec![
        (PYRO, Box::new(move || run.time())),
        (BWRAP, Box::new(move || bwrap.time())),
        ("true", Box::new(move || bare.time())),
    ];
    if let Some(podman) = podman {
        turns.push(("podman run", Box::new(move || podman.time())));
    }
    let rounds = bench.rounds(if bench.podman()?.is_some() { 40 } else { 60 });
    let row = Row::new(if is_root() { "run, as root" } else { "run, as this user" })
        .measure(rounds, turns)?
        .goal(PYRO, if is_root() { 3.0 } else { 5.0 }, BWRAP)
        .goal(PYRO, 1.0 / 8.0, "podman run");
    Ok(vec![row])
}
