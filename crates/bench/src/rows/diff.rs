//! The diff of 100 edits in 100,000 files, beside what Git takes to find them in its checkout.

use crate::{
    bench::Bench,
    error::Result,
    projects::{edit, git},
    row::{Row, Turn},
};

const EDITS: usize = 100;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    const PYRO: &str = "pyro workspace diff";
    const STATUS: &str = "git status";
    let large = bench.large()?;
    let files = large.some(EDITS);
    let workspace = bench.pyro.create(Some(&large.path))?;
    let script = format!("for f in {}; do echo edited >> $f; done", files.join(" "));
    bench.pyro.call(&["workspace", "exec", &workspace, "--", "sh", "-c", &script]).time()?;
    let checkout = bench.cache.join("worktree");
    large.without_worktree(&checkout)?;
    large.worktree(&checkout).time()?;
    edit(&checkout, &files, "edited")?;
    let (diff, stat) = (
        bench.pyro.call(&["workspace", "diff", &workspace]),
        bench.pyro.call(&["workspace", "diff", &workspace, "--stat"]),
    );
    let (status, git_diff) =
        (git(&checkout, &["status", "--porcelain"]), git(&checkout, &["diff"]));
    let turns: Vec<(&'static str, Turn<'_>)> = vec![
        (PYRO, Box::new(move || diff.time())),
        ("pyro workspace diff --stat", Box::new(move || stat.time())),
        (STATUS, Box::new(move || status.time())),
        ("git diff", Box::new(move || git_diff.time())),
    ];
    let row = Row::new("diff after 100 edits in 100,000 files")
        .measure(bench.rounds(20), turns)?
        .goal(PYRO, 1.0 / 3.0, STATUS);
    large.without_worktree(&checkout)?;
    bench.pyro.delete(&workspace)?;
    Ok(vec![row])
}
