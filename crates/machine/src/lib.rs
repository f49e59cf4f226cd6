//! pyro-machine
