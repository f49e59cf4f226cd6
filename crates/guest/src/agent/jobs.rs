//! Work that is done in slices between the turns of the loop, so that a long listing or a large
//! file holds up nobody.

use pyro_protocol::{GuestMessage, message::Refusal};

use super::connection::Connection;

/// Bytes that one slice may move, roughly.
pub(super) const SLICE_BYTES: usize = 1 << 20;
/// Entries that one slice may look at, roughly.
pub(super) const SLICE_ENTRIES: usize = 1_000;

/// What a slice came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slice {
    /// There is more to do at once.
    More,
    /// The peer must read or grant credit first.
    Blocked,
    /// The call was answered to its end.
    Done,
}

/// One call's work.
pub(super) trait Job {
    /// Does a slice. A refusal ends the call.
    fn slice(&mut self, sink: &mut Sink<'_>) -> Result<Slice, Refusal>;
}

/// Where a job's answers go.
pub(super) struct Sink<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) call: u32,
    /// Bytes of content that the peer still takes.
    pub(super) credit: u64,
    pub(super) scratch: &'a mut [u8],
}

impl Sink<'_> {
    pub(super) fn send(&mut self, message: GuestMessage) {
        self.connection.answer(self.call, message);
    }

    pub(super) fn is_full(&self) -> bool {
        self.connection.is_full()
    }
}
