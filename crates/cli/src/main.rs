//! The binary `pyro`.
fn main() {}
