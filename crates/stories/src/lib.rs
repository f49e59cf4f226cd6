//! Whole stories through the real chat hosts: Claude Code, Codex and opencode, each with a scripted
//! model on loopback, in a network namespace with nothing else. All of it is in `tests/stories`;
//! there is no library here, and nothing uses this crate.
