//! One command in a workspace that lives: through the command line, and over a live MCP server.

use std::cell::RefCell;

use crate::{
    bench::Bench,
    error::Result,
    mcp::McpServer,
    peers::bare_true,
    row::{Row, Turn},
};

pub(super) fn from_the_command_line(bench: &Bench) -> Result<Vec<Row>> {
    const PYRO: &str = "pyro workspace exec W -- true";
    const NAME: &str = "pyro-bench-exec";
    let workspace = bench.pyro.create(Some(&bench.small()?.path))?;
    let exec = bench.pyro.call(&["workspace", "exec", &workspace, "--", "true"]);
    let bare = bare_true();
    let mut turns: Vec<(&'static str, Turn<'_>)> =
        vec![(PYRO, Box::new(move || exec.time())), ("true", Box::new(move || bare.time()))];
    let podman = bench.podman()?;
    if let Some(podman) = podman {
        podman.start(NAME).time()?;
        let exec = podman.exec_true(NAME);
        turns.push(("podman exec", Box::new(move || exec.time())));
    }
    let row = Row::new("exec in a live workspace, from the command line")
        .measure(bench.rounds(50), turns)?
        .goal(PYRO, 6.0, "true")
        .goal(PYRO, 1.0 / 20.0, "podman exec");
    if let Some(podman) = podman {
        podman.removal(NAME).time()?;
    }
    bench.pyro.delete(&workspace)?;
    Ok(vec![row])
}

pub(super) fn over_mcp(bench: &Bench) -> Result<Vec<Row>> {
    const PYRO: &str = "workspace_exec over MCP";
    let workspace = bench.pyro.create(Some(&bench.small()?.path))?;
    let program = bench.pyro.call(&["mcp", "serve"]).within(&bench.small()?.path);
    let server = RefCell::new(McpServer::start(&program)?);
    let bare = bare_true();
    let turns: Vec<(&'static str, Turn<'_>)> = vec![
        (PYRO, Box::new(|| server.borrow_mut().exec_true(&workspace))),
        ("true", Box::new(move || bare.time())),
    ];
    let row = Row::new("exec in a live workspace, over a live MCP server")
        .measure(bench.rounds(200), turns)?
        .goal(PYRO, 4.0, "true");
    drop(server);
    bench.pyro.delete(&workspace)?;
    Ok(vec![row])
}
