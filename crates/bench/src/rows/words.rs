//! What a model reads before it does anything: the list of tools as it is sent, in tokens of a
//! public tokenizer (o200k), for each profile and mode.

use pyro_operations::{Profile, Toolset};

use crate::{
    bench::Bench,
    error::{BenchError, Result},
    mcp::McpServer,
    row::Row,
    samples::Samples,
};

/// Tokens that the default profile's list may have.
const MOST: f64 = 6_000.0;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let tokenizer = tiktoken_rs::o200k_base()
        .map_err(|error| BenchError::Reply { what: "the tokenizer", said: error.to_string() })?;
    let default = Toolset::Profile(Profile::WorkspaceCore).as_str();
    let mut row = Row::new("the list of tools, as a model reads it");
    row.unit = "tokens";
    for set in Toolset::all() {
        let flag = match set {
            Toolset::Profile(_) => "--profile",
            Toolset::Mode(_) => "--mode",
        };
        let serve = ["mcp", "serve", "--no-project-source", flag, set.as_str()];
        let tools = McpServer::start(&bench.pyro.call(&serve))?.tools()?;
        let tokens = tokenizer.encode_ordinary(&tools.to_string()).len();
        let mut samples = Samples::default();
        samples.value(tokens as f64);
        row.candidates.push((set.as_str(), samples));
    }
    row.bounds.push((default, MOST));
    Ok(vec![row])
}
