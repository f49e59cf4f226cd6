//! What host and guest say to each other: length-bounded frames over any byte stream.
//!
//! Promises: decoding never allocates more than `MAX_FRAME` and never panics, whatever arrives;
//! many calls run at once on one stream, told apart by their call number; a version handshake
//! comes first. Does no IO of its own: `codec` turns bytes into frames and back.
//!
//! A new message is a new variant at the end of its enum (postcard numbers variants by position);
//! changing or moving one is a new `VERSION`. `VERSIONING.md` says what each version may say.

#![expect(missing_docs, reason = "the fields of messages say what they are")]

pub mod codec;
pub mod exec;
pub mod files;
pub mod launch;
pub mod message;
pub mod patch;
pub mod spool;
pub mod upper;
pub mod vm;

pub use codec::{CodecError, Decoder, encode};
pub use message::{GuestFrame, GuestMessage, HostFrame, HostMessage};

/// The version that this build speaks. Both sides must be equal: the agent that runs in a
/// workspace is the one that its pyro embedded, and a later pyro keeps talking to it only when
/// the number is unchanged (else it says: restart the workspace).
pub const VERSION: u16 = 1;

/// The longest frame, in bytes, its four bytes of length not counted: a whole file write
/// (8 MiB) and its fields.
pub const MAX_FRAME: usize = (8 << 20) + (64 << 10);

/// Bytes of output that the guest may send on one call before the host grants more.
pub const WINDOW: u32 = 1 << 20;
