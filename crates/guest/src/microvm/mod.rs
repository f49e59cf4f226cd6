//! `pyro-guest init`: process 1 of a VM (`pyro_protocol::vm`).

/// Boots, waits to be awakened, and becomes the agent.
#[must_use]
pub fn init() -> i32 {
    2
}
