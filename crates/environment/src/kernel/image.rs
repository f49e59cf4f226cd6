//! What can be told from a kernel image itself: that it is one for x86, and which release.

use super::{KernelError, Result};

/// The most bytes that a kernel image has.
pub(super) const IMAGE_MOST: u64 = 64 << 20;
/// Where the setup header names itself.
const MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
/// Where it says where the release's text is, less 0x200.
const VERSION: usize = 0x20E;
/// Longest release.
const RELEASE_MOST: usize = 64;

/// The release that the image says it has, as `uname -r` will.
pub(super) fn release(image: &[u8], what: &str) -> Result<String> {
    let refuse = |why: &str| Err(KernelError::refused(what, why));
    if image.get(MAGIC.0..MAGIC.0 + MAGIC.1.len()) != Some(MAGIC.1) {
        return refuse("it is no Linux kernel image for x86 (bzImage)");
    }
    let at = image.get(VERSION..VERSION + 2).and_then(|two| <[u8; 2]>::try_from(two).ok());
    let at = at.map_or(0, u16::from_le_bytes);
    if at == 0 {
        return refuse("it does not say its release");
    }
    let text = image.get(usize::from(at) + 0x200..).unwrap_or_default();
    let length = text.iter().position(|byte| matches!(byte, b' ' | 0)).unwrap_or(0);
    let text = &text[..length];
    if !is_release(text) {
        return refuse("the release that it says is none");
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Whether a text can be a release, and so a part of a path.
pub(super) fn is_release(text: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"._+-~".contains(b);
    (1..=RELEASE_MOST).contains(&text.len()) && text.iter().all(allowed) && text[0].is_ascii_digit()
}

/// An image with nothing but a header, for tests.
#[cfg(test)]
pub(super) fn made_up(release: &str) -> Vec<u8> {
    let mut image = vec![0; 0x400];
    image[MAGIC.0..MAGIC.0 + 4].copy_from_slice(MAGIC.1);
    image[VERSION..VERSION + 2].copy_from_slice(&0x100u16.to_le_bytes());
    image[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kernels_of_a_plain_release_are_taken() {
        assert_eq!(release(&made_up("6.1.0-9-cloud-amd64"), "x").unwrap(), "6.1.0-9-cloud-amd64");
        for bad in ["", "../etc", "6/1", "-6", &"6".repeat(65)] {
            assert!(release(&made_up(bad), "x").is_err(), "{bad}");
        }
        assert!(release(b"\x7fELF", "x").is_err());
        let mut beyond = made_up("6.1");
        beyond[VERSION] = 0xff;
        beyond[VERSION + 1] = 0xff;
        assert!(release(&beyond, "x").is_err());
    }
}
