//! pyro-model
