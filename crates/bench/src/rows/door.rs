//! The MCP door by itself: how long a client waits for the server's first answer, and what a tool
//! call costs beside the same operation called by a program.

use std::time::{Duration, Instant};

use pyro::{Client, Settings};
use serde_json::json;

use crate::{
    bench::Bench,
    error::{BenchError, Result},
    mcp::McpServer,
    peers::bare_true,
    row::{Row, Turn},
};

/// An operation that does little, so that the door shows.
const STATUS: &str = "workspace_status";

pub(super) fn start(bench: &Bench) -> Result<Vec<Row>> {
    const PYRO: &str = "pyro mcp serve, until initialize is answered";
    let program = bench.pyro.call(&["mcp", "serve"]).within(&bench.small()?.path);
    let bare = bare_true();
    let turns: Vec<(&'static str, Turn<'_>)> = vec![
        (
            PYRO,
            Box::new(|| {
                let began = Instant::now();
                let server = McpServer::start(&program)?;
                let took = began.elapsed();
                drop(server);
                Ok(took)
            }),
        ),
        ("true", Box::new(move || bare.time())),
    ];
    let mut row = Row::new("start of the MCP server").measure(bench.rounds(50), turns)?;
    row.bounds.push((PYRO, 10.0));
    Ok(vec![row])
}

pub(super) fn overhead(bench: &Bench) -> Result<Vec<Row>> {
    const MCP: &str = "workspace_status over MCP";
    const SDK: &str = "the same, called by a program";
    const ADDED: &str = "what the door adds";
    let workspace = bench.pyro.create(Some(&bench.small()?.path))?;
    let program = bench.pyro.call(&["mcp", "serve"]).within(&bench.small()?.path);
    let mut server = McpServer::start(&program)?;
    let settings = Settings { home: bench.pyro.home().to_owned(), ..Settings::default() };
    let client = Client::open(settings).map_err(|failure| refused(&failure))?;
    let request = json!({ "workspace": workspace });
    let context = client.context().map_err(|failure| refused(&failure))?;
    let mut row = Row::new("a tool call and the operation behind it");
    let rounds = bench.rounds(300);
    let mut taken: [Vec<Duration>; 3] = Default::default();
    for round in 0..rounds.warm_up + rounds.counted {
        let over_mcp = server.call(STATUS, &request)?;
        let began = Instant::now();
        client.call_json(STATUS, &request, &context).map_err(|failure| refused(&failure))?;
        let called = began.elapsed();
        if round >= rounds.warm_up {
            let added = over_mcp.saturating_sub(called);
            for (samples, took) in taken.iter_mut().zip([over_mcp, called, added]) {
                samples.push(took);
            }
        }
    }
    for (name, times) in [MCP, SDK, ADDED].into_iter().zip(taken) {
        let mut samples = crate::samples::Samples::default();
        times.into_iter().for_each(|took| samples.took(took));
        row.candidates.push((name, samples));
    }
    row.bounds.push((ADDED, 1.0));
    drop(server);
    bench.pyro.delete(&workspace)?;
    Ok(vec![row])
}

fn refused(failure: &pyro::Failure) -> BenchError {
    BenchError::Reply { what: "pyro, called by a program", said: failure.to_string() }
}
