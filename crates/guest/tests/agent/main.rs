//! The agent over a real socket, as an ordinary process without namespaces.

mod commands;
mod ending;
mod files;
mod hostile;
mod layers;
mod output;
mod support;
