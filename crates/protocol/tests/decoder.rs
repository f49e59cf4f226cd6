//! Whatever arrives, decoding neither panics nor asks for memory that the bytes do not justify.

use proptest::prelude::*;
use pyro_protocol::{
    Decoder, GuestFrame, HostFrame, HostMessage, encode,
    spool::{Record, decode_records, encode_record, kept_pieces},
};

/// Feeds the bytes in pieces; how many frames came, or `None` when the stream broke.
fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8], step: usize) -> Option<usize> {
    let mut decoder = Decoder::default();
    let mut frames = 0;
    for piece in bytes.chunks(step) {
        decoder.push(piece);
        while decoder.next::<T>().ok()?.is_some() {
            frames += 1;
        }
    }
    Some(frames)
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600), step in 1usize..64) {
        decode::<HostFrame>(&bytes, step);
        decode::<GuestFrame>(&bytes, step);
        let _ = decode_records(&bytes);
    }

    #[test]
    fn any_body_of_a_whole_frame_is_survived(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut wire = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        wire.extend(&body);
        decode::<HostFrame>(&wire, 7);
        decode::<GuestFrame>(&wire, 7);
    }

    #[test]
    fn a_changed_byte_breaks_one_stream_at_most(at in 0usize..4000, to in any::<u8>(), step in 1usize..99) {
        let mut wire = Vec::new();
        for call in 0..200 {
            let message = HostMessage::Credit { bytes: call };
            encode(&HostFrame { call, message }, &mut wire).unwrap();
        }
        let whole = decode::<HostFrame>(&wire, step);
        prop_assert_eq!(whole, Some(200));
        let at = at % wire.len();
        wire[at] = to;
        decode::<HostFrame>(&wire, step);
    }

    #[test]
    fn a_damaged_log_gives_what_stands_before_the_damage(at in 0usize..2000, flip in 1u8..) {
        let record = |at_ms| Record::MachineStarted { at_ms, boot: [3; 16] };
        let mut log = Vec::new();
        let mut ends = vec![0];
        for number in 0..40 {
            encode_record(&record(number), &mut log).unwrap();
            ends.push(log.len());
        }
        let at = at % log.len();
        log[at] ^= flip;
        let (records, taken) = decode_records(&log);
        let intact = ends.iter().filter(|end| **end <= at && **end > 0).count();
        prop_assert_eq!(records.len(), intact);
        prop_assert_eq!(taken, ends[intact]);
    }

    #[test]
    fn kept_pieces_are_in_order_and_within_the_file(total in 0u64..5_000, kept in 2u64..600) {
        let pieces = kept_pieces(total, kept);
        let sum: u64 = pieces.iter().map(|piece| piece.2).sum();
        prop_assert_eq!(sum, total.min(kept));
        let mut offset = 0;
        for (from, at, length) in pieces {
            prop_assert!(from >= offset && at + length <= kept);
            offset = from + length;
        }
        prop_assert_eq!(offset, total);
    }
}
