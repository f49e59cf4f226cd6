//! pyro-sys
