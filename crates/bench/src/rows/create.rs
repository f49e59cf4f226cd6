//! Making workspaces: the whole short story (create, first exec, delete), the first create of a
//! project, and the one after a few edits.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use crate::{
    bench::Bench,
    error::Result,
    peers::bwrap,
    projects::Project,
    pyro::Pyro,
    row::{Rounds, Row, Turn},
};

const CREATE: &str = "pyro workspace create";
const WORKTREE: &str = "git worktree add";

/// The steps of one story, measured one by one.
#[derive(Debug, Default)]
struct Story {
    workspace: String,
    together: Duration,
}

fn story<'a>(
    bench: &'a Bench,
    project: &Project,
    told: &'a RefCell<Story>,
) -> Vec<(&'static str, Turn<'a>)> {
    let creation = bench.pyro.creation(Some(&project.path));
    let create = move || {
        let start = Instant::now();
        let workspace = creation.output()?;
        let together = start.elapsed();
        *told.borrow_mut() = Story { workspace, together };
        Ok(together)
    };
    let step = |words: fn(&str) -> Vec<&str>| {
        move || {
            let mut told = told.borrow_mut();
            let took = bench.pyro.call(&words(&told.workspace)).time()?;
            told.together += took;
            Ok(took)
        }
    };
    vec![
        (CREATE, Box::new(create)),
        (
            "pyro workspace exec W -- true",
            Box::new(step(|w| vec!["workspace", "exec", w, "--", "true"])),
        ),
        ("pyro workspace delete", Box::new(step(|w| vec!["workspace", "delete", w]))),
        ("pyro, all three", Box::new(|| Ok(told.borrow().together))),
    ]
}

pub(super) fn story_small(bench: &Bench) -> Result<Vec<Row>> {
    const NAME: &str = "pyro-bench-story";
    let told = RefCell::default();
    let mut turns = story(bench, bench.small()?, &told);
    let bwrap = bwrap();
    turns.push(("bwrap", Box::new(move || bwrap.time())));
    if let Some(podman) = bench.podman()? {
        let steps = [podman.start(NAME), podman.exec_true(NAME), podman.removal(NAME)];
        turns.push((
            "podman run, exec, rm",
            Box::new(move || steps.iter().map(crate::program::Program::time).sum()),
        ));
    }
    let row = Row::new("create, first exec, delete: a small repository known already")
        .measure(bench.rounds(20), turns)?;
    Ok(vec![row])
}

pub(super) fn story_large(bench: &Bench) -> Result<Vec<Row>> {
    let large = bench.large()?;
    // Known already: this row is about the second create.
    let first = bench.pyro.create(Some(&large.path))?;
    bench.pyro.call(&["workspace", "exec", &first, "--", "true"]).time()?;
    let told = RefCell::default();
    let mut turns = story(bench, large, &told);
    // Beside Git once, not in the rows below too: it takes most of the time of the whole run.
    turns.extend(worktree(bench, large));
    let row = Row::new("create, first exec, delete: 100,000 files known already")
        .measure(bench.rounds(5), turns)?
        .goal(CREATE, 1.0 / 5.0, WORKTREE);
    bench.pyro.delete(&first)?;
    Ok(vec![row])
}

fn worktree<'a>(bench: &Bench, project: &'a Project) -> Vec<(&'static str, Turn<'a>)> {
    let path = bench.cache.join("worktree");
    let add = project.worktree(&path);
    let remove = project.git(&["worktree", "remove", "--force", &path.to_string_lossy()]);
    let fresh = move || {
        project.without_worktree(&path)?;
        add.time()
    };
    vec![(WORKTREE, Box::new(fresh)), ("git worktree remove", Box::new(move || remove.time()))]
}

pub(super) fn cold(bench: &Bench) -> Result<Vec<Row>> {
    let large = bench.large()?;
    let place = bench.cache.join("pyro-cold");
    let turn = |project: &Project| -> Turn<'_> {
        let (path, place) = (project.path.clone(), place.clone());
        Box::new(move || {
            // A home that knows neither the project nor anything else.
            let pyro = Pyro::fresh(&bench.program, &place)?;
            pyro.call(&["run", "host", "--", "true"]).time()?;
            let took = pyro.creation(Some(&path)).time()?;
            pyro.forget()?;
            Ok(took)
        })
    };
    let turns: Vec<(&'static str, Turn<'_>)> =
        vec![("pyro, 100 files", turn(bench.small()?)), ("pyro, 100,000 files", turn(large))];
    let rounds = Rounds { warm_up: 0, counted: if bench.quick { 1 } else { 3 } };
    Ok(vec![Row::new("first create of a project").measure(rounds, turns)?])
}

pub(super) fn edited(bench: &Bench) -> Result<Vec<Row>> {
    let large = bench.large()?;
    let first = bench.pyro.create(Some(&large.path))?;
    let made = RefCell::new(first);
    let creation = bench.pyro.creation(Some(&large.path));
    let mut round = 0;
    let create = || {
        round += 1;
        large.edit(5, &format!("edit {round}"))?;
        let start = Instant::now();
        let workspace = creation.output()?;
        let took = start.elapsed();
        // The last one keeps its layer, so that the next has something to begin with.
        bench.pyro.delete(&made.replace(workspace))?;
        Ok(took)
    };
    let turns: Vec<(&'static str, Turn<'_>)> = vec![(CREATE, Box::new(create))];
    let row = Row::new("create after 5 edits in 100,000 files").measure(bench.rounds(5), turns);
    large.restore()?;
    bench.pyro.delete(&made.borrow())?;
    Ok(vec![row?])
}
