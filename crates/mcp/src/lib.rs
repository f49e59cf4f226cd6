//! pyro-mcp
