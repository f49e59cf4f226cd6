//! pyro-protocol
