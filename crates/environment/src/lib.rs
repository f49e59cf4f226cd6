//! pyro-environment
