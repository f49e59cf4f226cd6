//! An archive of files for a kernel's initramfs, in the format `newc`, uncompressed: the kernel
//! unpacks it at memory's speed, and nothing has to be installed to make it.

/// Collects files, directories first.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    inodes: u32,
}

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

impl Archive {
    pub(crate) fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY, &[]);
    }

    pub(crate) fn program(&mut self, name: &str, bytes: &[u8]) {
        self.entry(name, PROGRAM, bytes);
    }

    pub(crate) fn file(&mut self, name: &str, bytes: &[u8]) {
        self.entry(name, FILE, bytes);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.inodes = 0;
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// The kernel takes files of less than 4 GiB; modules and programs are far from it.
    fn entry(&mut self, name: &str, mode: u32, bytes: &[u8]) {
        self.inodes += 1;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let name_bytes = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        self.bytes.extend(*b"070701");
        // Owner and time are zero, so that the same files make the same archive.
        let fields = [self.inodes, mode, 0, 0, links, 0, length, 0, 0, 0, 0, name_bytes, 0];
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(bytes);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a kernel would find.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let whole = bytes.len();
        let mut found = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |at: usize| {
                let text = std::str::from_utf8(&bytes[6 + at * 8..14 + at * 8]).unwrap();
                u32::from_str_radix(text, 16).unwrap() as usize
            };
            let (mode, length, name) = (field(1), field(6), field(11));
            let at = whole - bytes.len();
            let body = (at + 110 + name).next_multiple_of(4) - at;
            let text = std::str::from_utf8(&bytes[110..110 + name - 1]).unwrap().to_owned();
            if text == "TRAILER!!!" {
                return found;
            }
            found.push((text, u32::try_from(mode).unwrap(), bytes[body..body + length].to_vec()));
            bytes = &bytes[(at + body + length).next_multiple_of(4) - at..];
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(files in prop::collection::vec(
            ("[a-z/.-]{1,40}", prop::collection::vec(any::<u8>(), 0..300)), 0..10,
        )) {
            let mut archive = Archive::default();
            archive.directory("d");
            for (name, bytes) in &files {
                archive.file(name, bytes);
            }
            let found = read(&archive.finish());
            prop_assert_eq!(found.len(), files.len() + 1);
            for (found, (name, bytes)) in found[1..].iter().zip(&files) {
                prop_assert_eq!((&found.0, found.1, &found.2), (name, FILE, bytes));
            }
        }
    }
}
