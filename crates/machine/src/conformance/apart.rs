//! Changes go to the workspace alone: layers stay as they were, and two workspaces on the same
//! layers do not see each other.

use std::fs;

use super::{Fixture, Verdict, ensure};
use crate::Machine;

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    let layer =
        fixture.layer("seed", &[("a.txt", "a\n"), ("src/b.txt", "b\n"), ("gone", "x\n")])?;
    let mut one = fixture.workspace(machine)?;
    let mut two = fixture.workspace(machine)?;
    one.spec.tree_lowers = vec![layer.clone()];
    two.spec.tree_lowers = vec![layer.clone()];
    one.session(machine, |session| {
        let owner = session.must("stat -c %u:%g /workspace/a.txt /workspace/src")?;
        ensure!(owner == "0:0\n0:0\n", "the seed belongs to 0:0 inside, not {owner:?}");
        session.must(
            "cd /workspace && echo more >> a.txt && rm gone && mv src/b.txt src/c.txt && \
             echo new > n && rm -rf src && mkdir src && chmod 700 src",
        )?;
        Ok(())
    })?;
    two.session(machine, |session| {
        let seen = session.must("cd /workspace && cat a.txt gone src/b.txt && ls -A")?;
        ensure!(seen == "a\nx\nb\na.txt\ngone\nsrc\n", "the other workspace sees {seen:?}");
        Ok(())
    })?;
    ensure!(fs::read_to_string(layer.join("a.txt"))? == "a\n", "the layer was written");
    ensure!(layer.join("gone").exists() && !layer.join("n").exists(), "the layer was changed");
    one.session(machine, |session| {
        let seen = session.must("cd /workspace && cat a.txt && ls -A . src")?;
        ensure!(seen.contains("more") && !seen.contains("gone"), "after a restart it has {seen:?}");
        Ok(())
    })
}
