//! git's binary patches: base 85, then zlib; a whole content or a delta.

use std::io::Read;

use flate2::read::ZlibDecoder;
use pyro_protocol::patch::Body;

use crate::{MOST_BINARY, PatchError, fault};

/// What stands before one.
pub(crate) const BEGIN: &str = "GIT binary patch";

/// git's base 85, in the order of the digits.
pub const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Reads from the line after `GIT binary patch`; the body, and the line after it. `room` is what
/// may still be unpacked.
pub(crate) fn read(
    lines: &[&str],
    mut at: usize,
    room: &mut usize,
) -> Result<(Body, usize), PatchError> {
    let (body, after) = part(lines, at, room)?;
    at = after;
    // The way back, which only `git apply -R` needs.
    if lines.get(at).is_some_and(|line| kind(line).is_some()) {
        at += 1;
        while lines.get(at).is_some_and(|line| !line.is_empty()) {
            at += 1;
        }
        at += 1;
    }
    Ok((body, at.min(lines.len())))
}

fn kind(line: &str) -> Option<(bool, usize)> {
    let (delta, size) = match line.split_once(' ')? {
        ("literal", size) => (false, size),
        ("delta", size) => (true, size),
        _ => return None,
    };
    Some((delta, size.trim_end().parse().ok()?))
}

fn part(lines: &[&str], at: usize, room: &mut usize) -> Result<(Body, usize), PatchError> {
    let head = lines.get(at).and_then(|line| kind(line));
    let (is_delta, size) =
        head.ok_or_else(|| fault(at, "`literal SIZE` or `delta SIZE` is expected here"))?;
    if size > *room {
        return Err(fault(at, format!("binary parts of more than {MOST_BINARY} bytes")));
    }
    *room -= size;
    let (mut packed, mut next) = (Vec::new(), at + 1);
    while let Some(line) = lines.get(next).map(|line| line.trim_end_matches('\r')) {
        if line.is_empty() {
            break;
        }
        decode(line.as_bytes(), &mut packed)
            .ok_or_else(|| fault(next, "it is not base 85 as git writes it"))?;
        next += 1;
    }
    let mut content = Vec::new();
    let unpacked = ZlibDecoder::new(&packed[..]).take(size as u64 + 1).read_to_end(&mut content);
    if unpacked.is_err() || content.len() != size {
        return Err(fault(at, format!("it does not unpack to {size} bytes")));
    }
    let body = if is_delta { Body::Delta(content) } else { Body::Whole(content) };
    Ok((body, (next + 1).min(lines.len())))
}

fn decode(line: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (first, digits) = line.split_first()?;
    let length = match first {
        b'A'..=b'Z' => first - b'A' + 1,
        b'a'..=b'z' => first - b'a' + 27,
        _ => return None,
    };
    let mut left = usize::from(length);
    if digits.len() != left.div_ceil(4) * 5 {
        return None;
    }
    for group in digits.chunks(5) {
        let mut value: u32 = 0;
        for digit in group {
            let digit = DIGITS.iter().position(|known| known == digit)?;
            value = value.checked_mul(85)?.checked_add(u32::try_from(digit).ok()?)?;
        }
        let take = left.min(4);
        out.extend(&value.to_be_bytes()[..take]);
        left -= take;
    }
    Some(())
}
