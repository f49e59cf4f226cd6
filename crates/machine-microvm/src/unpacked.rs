//! The kernel as it is after it has unpacked itself, for emulated guests: a host unpacks it in an
//! instant, and an emulated processor in half a second. Where that is not understood, the kernel
//! stays as it is. With KVM it stays so too: what unpacks it also moves it to a random address.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use pyro_launcher::failure;
use pyro_machine::MachineError;
use pyro_protocol::vm::Accelerator;
use pyro_sys::Context;
use sha2::{Digest, Sha256};

use crate::{Kernel, once::once, place::Place, template::hexadecimal};

/// A kernel is read no further, packed or not.
const MOST: usize = 256 << 20;
/// What a block of LZ4's older format unpacks to at most.
const BLOCK: usize = 8 << 20;
const LZ4: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const ELF: [u8; 4] = [0x7f, b'E', b'L', b'F'];

/// The kernel to boot with this accelerator.
pub(crate) fn image(
    place: &Place,
    kernel: &Kernel,
    accelerator: Accelerator,
) -> Result<PathBuf, MachineError> {
    if accelerator == Accelerator::Kvm {
        return Ok(kernel.image.clone());
    }
    let key = hexadecimal(&Sha256::digest(format!("pyro kernel 1 {}", kernel.digest)));
    let path = place.kernel(&key[..32]);
    if path.exists() {
        return Ok(path);
    }
    let Some(unpacked) = read(&kernel.image)?.and_then(|packed| unpack(&packed)) else {
        return Ok(kernel.image.clone());
    };
    once(&path, |part| fs::write(part, &unpacked).doing("write", part.display()).map_err(failure))?;
    Ok(path)
}

fn read(image: &Path) -> Result<Option<Vec<u8>>, MachineError> {
    let mut bytes = Vec::new();
    File::open(image)
        .and_then(|file| file.take(MOST as u64 + 1).read_to_end(&mut bytes))
        .doing("read", image.display())
        .map_err(failure)?;
    Ok((bytes.len() <= MOST).then_some(bytes))
}

/// The ELF file inside a bzImage (Documentation/arch/x86/boot.rst), if it is packed with LZ4.
fn unpack(image: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?));
    let version = u16::from_le_bytes(image.get(0x206..0x208)?.try_into().ok()?);
    if image.get(0x202..0x206)? != b"HdrS" || version < 0x208 {
        return None;
    }
    let start = (usize::from(*image.get(0x1f1)?) + 1) * 512 + word(0x248)? as usize;
    let packed = image.get(start..start.checked_add(word(0x24c)? as usize)?)?;
    // What it comes to stands behind it.
    let (packed, size) = packed.split_last_chunk::<4>()?;
    let size = u32::from_le_bytes(*size) as usize;
    let mut rest = packed.strip_prefix(&LZ4)?;
    if size > MOST {
        return None;
    }
    let mut out = vec![0; size];
    let mut done = 0;
    while done < size {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let block = after.get(..u32::from_le_bytes(*length) as usize)?;
        let room = out.len().min(done + BLOCK);
        done += lz4_flex::block::decompress_into(block, &mut out[done..room]).ok()?;
        rest = &after[block.len()..];
    }
    out.starts_with(&ELF).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage around these blocks.
    fn image(blocks: &[&[u8]], size: usize) -> Vec<u8> {
        let mut payload = LZ4.to_vec();
        for block in blocks {
            let packed = lz4_flex::block::compress(block);
            payload.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
            payload.extend(packed);
        }
        payload.extend(u32::try_from(size).unwrap().to_le_bytes());
        let mut image = vec![0; 1024 + 16];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend(payload);
        image
    }

    #[test]
    fn what_lz4_packed_is_unpacked_and_anything_else_is_left() {
        let mut elf = ELF.to_vec();
        elf.resize(BLOCK, 7);
        let tail = [9; 100];
        let whole = [&elf[..], &tail].concat();
        let made = image(&[&elf, &tail], whole.len());
        assert!(unpack(&made) == Some(whole.clone()));
        assert_eq!(unpack(&image(&[b"no ELF"], 6)), None);
        for wrong in [0, 4, whole.len() + 1, MOST + 1, u32::MAX as usize] {
            assert!(unpack(&image(&[&elf, &tail], wrong)).is_none_or(|out| out.len() == wrong));
        }
        for end in (0..made.len()).step_by(97) {
            assert_eq!(unpack(&made[..end]), None, "{end}");
        }
        let mut broken = made.clone();
        for at in (0..made.len()).step_by(31) {
            broken[at] ^= 0x55;
            let _ = unpack(&broken);
        }
    }
}
