//! Contents that are no text, as git writes them: zlib, then its base 85, 52 bytes a line.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};
use pyro_patch::DIGITS;

/// Whether git would show it as binary, or JSON could not carry it.
pub(super) fn is_binary(content: &[u8]) -> bool {
    content[..content.len().min(8_000)].contains(&0) || std::str::from_utf8(content).is_err()
}

/// Appends the two `literal` parts: the new content, and the old for the way back.
pub(super) fn write(old: &[u8], new: &[u8], out: &mut String) {
    out.push_str("GIT binary patch\n");
    literal(new, out);
    literal(old, out);
}

fn literal(content: &[u8], out: &mut String) {
    out.push_str(&format!("literal {}\n", content.len()));
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let packed = encoder.write_all(content).and_then(|()| encoder.finish()).unwrap_or_default();
    for line in packed.chunks(52) {
        let length = u8::try_from(line.len()).unwrap_or(52);
        let letter = if length <= 26 { b'A' + length - 1 } else { b'a' + length - 27 };
        out.push(char::from(letter));
        for group in line.chunks(4) {
            let mut word = [0; 4];
            word[..group.len()].copy_from_slice(group);
            let mut value = u32::from_be_bytes(word);
            let mut digits = [0; 5];
            for digit in digits.iter_mut().rev() {
                *digit = DIGITS[(value % 85) as usize];
                value /= 85;
            }
            out.extend(digits.iter().map(|digit| char::from(*digit)));
        }
        out.push('\n');
    }
    out.push('\n');
}
