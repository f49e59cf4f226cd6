//! pyro-store
