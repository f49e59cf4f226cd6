//! A live MCP server as a candidate: requests over its pipes, one line each.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    error::{BenchError, Result},
    program::Program,
};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct McpServer {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    last: u64,
}

impl McpServer {
    /// Starts it and greets it.
    pub(crate) fn start(program: &Program) -> Result<Self> {
        let started = program
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| BenchError::Start { program: program.line(), source });
        let mut child = started?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(wrong("no pipes"));
        };
        let mut server = Self { child, to: Some(to), from: BufReader::new(from), last: 0 };
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": { "name": "pyro-bench", "version": "0" },
        });
        server.ask("initialize", &hello)?;
        server.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        Ok(server)
    }

    /// Makes a workspace of its project and runs `true` in it: what one process of the engine needs
    /// from a template to its first command. The workspace, and how long both answers took.
    pub(crate) fn create_and_exec(&mut self) -> Result<(String, Duration)> {
        let start = Instant::now();
        let call = json!({ "name": "workspace_create", "arguments": {} });
        let reply = self.ask("tools/call", &call)?;
        let Some(workspace) = reply["result"]["structuredContent"]["workspace"].as_str() else {
            return Err(wrong(&reply.to_string()));
        };
        let workspace = workspace.to_owned();
        self.exec_true(&workspace)?;
        Ok((workspace, start.elapsed()))
    }

    /// Runs `true` in a workspace; how long the answer took.
    pub(crate) fn exec_true(&mut self, workspace: &str) -> Result<Duration> {
        let arguments = json!({ "workspace": workspace, "command": "true" });
        let start = Instant::now();
        let reply = self.answer("workspace_exec", &arguments)?;
        let took = start.elapsed();
        if reply["result"]["structuredContent"]["exit_code"] == 0 {
            return Ok(took);
        }
        Err(wrong(&reply.to_string()))
    }

    /// Calls a tool; how long the answer took.
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Result<Duration> {
        let start = Instant::now();
        let reply = self.answer(tool, arguments)?;
        let took = start.elapsed();
        if reply["result"]["isError"] == false { Ok(took) } else { Err(wrong(&reply.to_string())) }
    }

    /// The tools that it shows, as they are sent.
    pub(crate) fn tools(&mut self) -> Result<Value> {
        let reply = self.ask("tools/list", &json!({}))?;
        let tools = &reply["result"]["tools"];
        if tools.is_array() { Ok(tools.clone()) } else { Err(wrong(&reply.to_string())) }
    }

    fn answer(&mut self, tool: &str, arguments: &Value) -> Result<Value> {
        self.ask("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    fn ask(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.last += 1;
        let request =
            json!({ "jsonrpc": "2.0", "id": self.last, "method": method, "params": params });
        self.send(&request)?;
        loop {
            let mut line = String::new();
            let read = self.from.read_line(&mut line).map_err(|error| wrong(&error.to_string()))?;
            if read == 0 {
                return Err(wrong("nothing: it ended"));
            }
            let reply: Value = serde_json::from_str(&line).map_err(|_| wrong(&line))?;
            if reply["id"] == self.last {
                return Ok(reply);
            }
        }
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        let Some(to) = &mut self.to else { return Err(wrong("nothing: it was closed")) };
        let line = format!("{message}\n");
        to.write_all(line.as_bytes()).map_err(|error| wrong(&error.to_string()))
    }
}

impl Drop for McpServer {
    fn drop(&mut self) {
        // The end of its input is its end.
        drop(self.to.take());
        let _ = self.child.wait();
    }
}

fn wrong(said: &str) -> BenchError {
    BenchError::Reply { what: "the MCP server", said: said.chars().take(800).collect() }
}
