//! pyro-operations
