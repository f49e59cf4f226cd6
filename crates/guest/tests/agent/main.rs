//! The agent over a real socket, as an ordinary process without namespaces.
#![expect(clippy::unwrap_used, reason = "a test may fail and say why")]

mod commands;
mod ending;
mod files;
mod hostile;
mod latency;
mod layers;
mod output;
mod patch;
mod support;
