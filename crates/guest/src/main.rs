//! The agent inside.
fn main() {}
