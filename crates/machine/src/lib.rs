//! What runs a workspace, seen from above: the `Machine` trait, what it is given, what it can do,
//! how it fails, and the client that talks to the agent inside.
//!
//! Promises: nothing above this crate knows a namespace or a VM; what a machine cannot do is data
//! (`Capabilities`) and a typed error, never a downcast. `conformance` is the suite that every
//! machine must pass.

pub mod capability;
pub mod check;
pub mod conformance;
pub mod error;
#[cfg(feature = "fake")]
pub mod fake;
pub mod guest;
pub mod machine;
pub mod spec;

pub use capability::{Capabilities, Capability, Support};
pub use check::Check;
pub use error::MachineError;
pub use guest::{Cancel, Guest, GuestError};
pub use machine::{Ending, Machine, Started, image_of};
pub use spec::{Enforcement, Limits, MachineSpec, Writable};
