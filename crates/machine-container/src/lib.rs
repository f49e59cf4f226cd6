//! pyro-machine-container
