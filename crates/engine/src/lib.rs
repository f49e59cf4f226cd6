//! pyro-engine
