//! git's deltas: copies of what is there, and new bytes.

/// The content that a delta makes of another; `None` when it does not fit, or is over `most`.
pub(super) fn apply(before: &[u8], delta: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut delta = delta.iter().copied();
    let from = size(&mut delta)?;
    let to = size(&mut delta)?;
    if from != before.len() || to > most {
        return None;
    }
    let mut after = Vec::with_capacity(to);
    while let Some(command) = delta.next() {
        if command & 0x80 == 0 {
            let count = usize::from(command);
            after.extend(delta.by_ref().take(count));
            if count == 0 {
                return None;
            }
        } else {
            let mut part = |bits: std::ops::Range<u32>| {
                let mut value = 0_usize;
                for (at, bit) in bits.enumerate() {
                    if command & (1 << bit) != 0 {
                        value |= usize::from(delta.next()?) << (8 * at);
                    }
                }
                Some(value)
            };
            let offset = part(0..4)?;
            let count = match part(4..7)? {
                0 => 0x10000,
                count => count,
            };
            after.extend_from_slice(before.get(offset..offset.checked_add(count)?)?);
        }
        if after.len() > to {
            return None;
        }
    }
    (after.len() == to).then_some(after)
}

fn size(delta: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..35).step_by(7) {
        let byte = delta.next()?;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_new_bytes() {
        // Sizes 5 and 6; copy 3 from 1; insert "xyz".
        let delta = [5, 6, 0x80 | 1 | 0x10, 1, 3, 3, b'x', b'y', b'z'];
        assert_eq!(apply(b"abcde", &delta, 100).unwrap(), b"bcdxyz");
        assert_eq!(apply(b"abcd", &delta, 100), None);
        assert_eq!(apply(b"abcde", &delta, 5), None);
        for end in 0..delta.len() {
            assert_eq!(apply(b"abcde", &delta[..end], 100), None, "{end}");
        }
        assert_eq!(apply(b"abcde", &[5, 6, 0x91, 4, 3], 100), None);
    }
}
