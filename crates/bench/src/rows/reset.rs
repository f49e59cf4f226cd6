//! Reset to the baseline: flat in the size of the project.

use crate::{
    bench::Bench,
    error::Result,
    peers::bwrap,
    row::{Row, Turn},
};

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    const SMALL: &str = "pyro workspace reset, 100 files";
    const LARGE: &str = "pyro workspace reset, 100,000 files";
    let small = bench.pyro.create(Some(&bench.small()?.path))?;
    let large = bench.pyro.create(Some(&bench.large()?.path))?;
    let turn = |workspace: &str| -> Turn<'_> {
        let change =
            bench.pyro.call(&["workspace", "exec", workspace, "--", "touch", "part0001/new"]);
        let reset = bench.pyro.call(&["workspace", "reset", workspace]);
        Box::new(move || {
            change.time()?;
            reset.time()
        })
    };
    let bwrap = bwrap();
    let turns: Vec<(&'static str, Turn<'_>)> = vec![
        (SMALL, turn(&small)),
        (LARGE, turn(&large)),
        ("bwrap", Box::new(move || bwrap.time())),
    ];
    let row = Row::new("reset to the baseline")
        .measure(bench.rounds(40), turns)?
        .goal(SMALL, 4.0, "bwrap")
        .goal(LARGE, 4.0, "bwrap")
        // Flat: the larger may cost no more than what measuring twice may differ by.
        .goal(LARGE, 1.25, SMALL);
    bench.pyro.delete(&small)?;
    bench.pyro.delete(&large)?;
    Ok(vec![row])
}
