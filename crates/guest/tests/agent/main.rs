//! The agent over a real socket, as an ordinary process without namespaces.

mod commands;
mod ending;
mod hostile;
mod output;
mod support;
