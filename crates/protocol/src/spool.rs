//! What the agent writes down while nobody listens, in files outside every layer.
//!
//! `events` is a log of records, each `u32 length | u32 crc | postcard`, appended in one write; a
//! torn last record is ignored. `EXEC.stdout` and `EXEC.stderr` hold output: the first half of the
//! kept bytes as it came, then a ring of the other half. A file exists once its stream has bytes.
//!
//! Any door imports the log from where the last one stopped; the files stay where they are.

use serde::{Deserialize, Serialize};

use crate::exec::Finished;
use pyro_model::{ExecId, OutputStream};

/// The log's file name.
pub const EVENTS: &str = "events";

/// The file of one stream.
#[must_use]
pub fn output_file(exec: &ExecId, stream: OutputStream) -> String {
    format!("{exec}.{stream}")
}

/// One thing that happened inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The machine is up. Every command before it that has no end is lost.
    MachineStarted { at_ms: u64, boot: [u8; 16] },
    /// A command was started.
    ExecStarted { exec: ExecId, at_ms: u64, line: String, cwd: String },
    /// A command ended.
    ExecFinished { at_ms: u64, finished: Finished },
    /// The machine ends by itself: idle for its limit, or told to.
    MachineStopped { at_ms: u64, reason: StopReason },
    /// The machine ended without being told to: its kernel panicked, its monitor or QEMU was
    /// killed. In words, fit after "the machine ended: ".
    MachineFailed { at_ms: u64, why: String },
}

/// Why a machine ended in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// Its idle time was over.
    Idle,
    /// A door asked.
    Asked,
    /// A tree of processes could not be ended in another way.
    Runaway,
}

/// Appends one framed record to `out`.
///
/// # Errors
/// When the record cannot be encoded.
pub fn encode_record(record: &Record, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
    let body = postcard::to_allocvec(record)?;
    let length = u32::try_from(body.len()).map_err(|_| postcard::Error::SerializeBufferFull)?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Reads whole, intact records from the front of `bytes`: the records, and how many bytes they
/// took. Stops at the first that is incomplete or damaged.
#[must_use]
pub fn decode_records(bytes: &[u8]) -> (Vec<Record>, usize) {
    let mut records = Vec::new();
    let mut taken = 0;
    while let Some((length, rest)) = bytes[taken..].split_first_chunk::<4>() {
        let Some((crc, rest)) = rest.split_first_chunk::<4>() else { break };
        let Some(body) = rest.get(..u32::from_le_bytes(*length) as usize) else { break };
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            break;
        }
        let Ok(record) = postcard::from_bytes(body) else { break };
        records.push(record);
        taken += 8 + body.len();
    }
    (records, taken)
}

/// Where the kept bytes of a stream lie in its file, for a stream of `total` bytes of which
/// `kept` are kept: pieces of `(stream offset, file offset, length)` in order.
#[must_use]
pub fn kept_pieces(total: u64, kept: u64) -> Vec<(u64, u64, u64)> {
    let head = kept / 2;
    let ring = kept - head;
    let mut pieces = vec![(0, 0, total.min(head))];
    if total > head {
        let from = total.saturating_sub(ring).max(head);
        let first = (from - head) % ring;
        let length = total - from;
        let until_end = length.min(ring - first);
        pieces.push((from, head + first, until_end));
        if length > until_end {
            pieces.push((from + until_end, head, length - until_end));
        }
    }
    pieces.retain(|piece| piece.2 > 0);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_record_is_left_for_later() {
        let record = Record::MachineStarted { at_ms: 5, boot: [1; 16] };
        let mut log = Vec::new();
        encode_record(&record, &mut log).unwrap();
        let whole = log.len();
        encode_record(&record, &mut log).unwrap();
        assert_eq!(decode_records(&log), (vec![record.clone(), record.clone()], log.len()));
        assert_eq!(decode_records(&log[..log.len() - 1]), (vec![record.clone()], whole));
        log[whole + 9] ^= 1;
        assert_eq!(decode_records(&log), (vec![record], whole));
    }

    #[test]
    fn kept_pieces_cover_head_and_tail() {
        assert_eq!(kept_pieces(0, 10), vec![]);
        assert_eq!(kept_pieces(5, 10), vec![(0, 0, 5)]);
        assert_eq!(kept_pieces(10, 10), vec![(0, 0, 5), (5, 5, 5)]);
        assert_eq!(kept_pieces(12, 10), vec![(0, 0, 5), (7, 7, 3), (10, 5, 2)]);
    }
}
