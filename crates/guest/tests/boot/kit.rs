//! What a real boot needs, given by the environment: `PYRO_TEST_KERNEL` (a `vmlinuz`),
//! `PYRO_TEST_MODULES` (a directory of `NAME.ko`), `PYRO_TEST_ROOT` (an erofs image of a Debian
//! root), and QEMU. `PYRO_TEST_GUEST` is another program than the one under test: an optimised one, to
//! measure. Also the initramfs that is made of it.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// In the order in which they are loaded.
const MODULES: [&str; 8] = [
    "virtio_ring",
    "virtio",
    "virtio_mmio",
    "virtio_console",
    "virtio_blk",
    "libcrc32c",
    "erofs",
    "overlay",
];

pub(crate) struct Kit {
    pub(crate) kernel: PathBuf,
    pub(crate) root: PathBuf,
    modules: PathBuf,
}

impl Kit {
    /// `None`, and the reason is printed, where a machine cannot be booted.
    pub(crate) fn find(test: &str) -> Option<Self> {
        let path = |name: &str| env::var_os(name).map(PathBuf::from);
        let kit = path("PYRO_TEST_KERNEL").zip(path("PYRO_TEST_MODULES"));
        let Some(((kernel, modules), root)) = kit.zip(path("PYRO_TEST_ROOT")) else {
            println!(
                "skipped {test}: PYRO_TEST_KERNEL, PYRO_TEST_MODULES and PYRO_TEST_ROOT are not set"
            );
            return None;
        };
        if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
            println!("skipped {test}: there is no qemu-system-x86_64");
            return None;
        }
        Some(Self { kernel, root, modules })
    }

    /// The program under test as `/init`, and the modules.
    pub(crate) fn initramfs(&self, at: &Path) {
        let mut archive = Archive(Vec::new());
        let program = env::var("PYRO_TEST_GUEST");
        let program = program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_pyro-guest").to_owned());
        archive.entry("init", 0o100_755, &fs::read(program).unwrap());
        archive.entry("modules", 0o040_755, &[]);
        for (number, name) in MODULES.iter().enumerate() {
            let module = fs::read(self.modules.join(format!("{name}.ko")));
            if let Ok(module) = module {
                archive.entry(&format!("modules/{number:02}-{name}.ko"), 0o100_644, &module);
            }
        }
        archive.entry("TRAILER!!!", 0, &[]);
        fs::write(at, archive.0).unwrap();
    }
}

/// cpio, in the form that the kernel unpacks.
struct Archive(Vec<u8>);

impl Archive {
    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        let links = if mode & 0o040_000 == 0 { 1 } else { 2 };
        let (size, length) = (content.len(), name.len() + 1);
        let fields = [0, mode as usize, 0, 0, links, 0, size, 0, 0, 0, 0, length, 0];
        let out = &mut self.0;
        out.extend_from_slice(b"070701");
        for field in fields {
            write!(out, "{field:08x}").unwrap();
        }
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}
