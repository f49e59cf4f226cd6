//! Which modules the microVM needs, and in which order they are loaded: what each module says it
//! depends on, followed until nothing is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{KernelError, Result};

/// What the microVM's disks, channel and file systems need, in the order of their loading.
pub(super) const NEEDED: [&str; 6] =
    ["virtio_mmio", "virtio_console", "virtio_blk", "ext4", "erofs", "overlay"];
/// The most bytes of one module.
pub(super) const MODULE_MOST: u64 = 32 << 20;
/// The most modules, those that others depend on included.
pub(super) const MODULES_MOST: usize = 32;
/// How module files end.
const ENDINGS: [&str; 3] = [".ko", ".ko.zst", ".ko.xz"];

/// The module's name, if `file` is called as a module's file is.
pub(super) fn name_of(file: &str) -> Option<String> {
    let stem = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending))?;
    let name = stem.replace('-', "_");
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    ((1..=64).contains(&name.len()) && name.bytes().all(plain)).then_some(name)
}

/// Names in a `modules.builtin`.
pub(super) fn builtin(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| name_of(line.rsplit('/').next()?)).collect()
}

/// A value of the module's own description of itself.
fn said<'m>(module: &'m [u8], key: &str) -> Option<&'m str> {
    let wanted = format!("\0{key}=");
    let at = module.windows(wanted.len()).position(|window| window == wanted.as_bytes())?;
    let rest = &module[at + wanted.len()..];
    std::str::from_utf8(&rest[..rest.iter().position(|byte| *byte == 0)?]).ok()
}

/// Names that this module cannot do without.
fn depends(module: &[u8]) -> Vec<String> {
    let text = said(module, "depends").unwrap_or_default();
    text.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

/// Names that the given modules need and that are neither among them nor built in; at first, when
/// nothing is given, all.
pub(super) fn missing(
    modules: &BTreeMap<String, Vec<u8>>,
    builtin: Option<&BTreeSet<String>>,
) -> BTreeSet<String> {
    let needed = modules.values().flat_map(|module| depends(module));
    let mut missing: BTreeSet<String> =
        needed.chain(NEEDED.iter().map(|&name| name.to_owned())).collect();
    missing.retain(|name| {
        !modules.contains_key(name) && builtin.is_none_or(|builtin| !builtin.contains(name))
    });
    missing
}

/// The modules in the order of their loading, each after what it depends on. What is not among
/// them must be built in.
pub(super) fn in_order(
    modules: &BTreeMap<String, Vec<u8>>,
    builtin: Option<&BTreeSet<String>>,
    release: &str,
) -> Result<Vec<String>> {
    if builtin.is_some()
        && let Some(name) = missing(modules, builtin).first()
    {
        return Err(KernelError::refused(
            format!("kernel {release}"),
            format!("it has no module {name}, which the microVM needs"),
        ));
    }
    for (name, module) in modules {
        let made_for = said(module, "vermagic").and_then(|text| text.split(' ').next());
        if made_for != Some(release) {
            let why = format!("it is made for {:?}, not for {release}", made_for.unwrap_or("?"));
            return Err(KernelError::refused(format!("the module {name}"), why));
        }
    }
    let mut order = Vec::new();
    for name in NEEDED {
        place(name, modules, &mut order, 0)?;
    }
    Ok(order)
}

fn place(
    name: &str,
    modules: &BTreeMap<String, Vec<u8>>,
    order: &mut Vec<String>,
    depth: usize,
) -> Result<()> {
    let Some(module) = modules.get(name) else { return Ok(()) };
    if order.iter().any(|placed| placed == name) {
        return Ok(());
    }
    if depth > MODULES_MOST {
        return Err(KernelError::refused(format!("the module {name}"), "it depends on itself"));
    }
    for needed in depends(module) {
        place(&needed, modules, order, depth + 1)?;
    }
    order.push(name.to_owned());
    Ok(())
}

/// The module's own bytes, whatever its file's ending says it is packed with.
pub(super) fn unpacked(file: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let refuse = |why: String| KernelError::refused(crate::unpack::printable(file.as_bytes()), why);
    let module = if file.ends_with(".zst") {
        let mut module = Vec::new();
        zstd::stream::read::Decoder::new(&bytes[..])
            .and_then(|reader| reader.take(MODULE_MOST + 1).read_to_end(&mut module))
            .map_err(|e| refuse(format!("it is no zstd file: {e}")))?;
        module
    } else if file.ends_with(".xz") {
        through_xz(&bytes, &refuse)?
    } else {
        bytes
    };
    if module.len() as u64 > MODULE_MOST {
        return Err(refuse(format!("it is larger than {MODULE_MOST} bytes")));
    }
    if !module.starts_with(b"\x7fELF") {
        return Err(refuse("it is no module".into()));
    }
    Ok(module)
}

fn through_xz(bytes: &[u8], refuse: &dyn Fn(String) -> KernelError) -> Result<Vec<u8>> {
    let program = crate::bootstrap::find_program("xz").ok_or_else(|| {
        refuse("the program `xz` is not installed; run `sudo apt-get install -y xz-utils`".into())
    })?;
    let failed = |e| KernelError::io("run", Path::new("xz"), e);
    let mut child = Command::new(program)
        .args(["-dc", "--memlimit=256MiB"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
    };
    let mut module = Vec::new();
    std::thread::scope(|scope| {
        // Fails when the program does; its end says so.
        scope.spawn(move || input.write_all(bytes).ok());
        // Its end of the pipe goes with it, so that a longer module ends the program.
        output.take(MODULE_MOST + 1).read_to_end(&mut module).map_err(failed)
    })?;
    let status = child.wait().map_err(failed)?;
    if !status.success() && module.len() as u64 <= MODULE_MOST {
        return Err(refuse("it is no xz file".into()));
    }
    Ok(module)
}

/// A module with nothing but what it says of itself, for tests.
#[cfg(test)]
pub(super) fn made_up(depends: &str, release: &str) -> Vec<u8> {
    format!("\x7fELF\0depends={depends}\0vermagic={release} SMP mod_unload \0").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(list: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        list.iter().map(|(name, on)| ((*name).to_owned(), made_up(on, "6.1"))).collect()
    }

    #[test]
    fn each_module_comes_after_what_it_depends_on() {
        let mut modules = modules(&[
            ("virtio_mmio", "virtio,virtio_ring"),
            ("virtio_console", "virtio,virtio-ring"),
            ("virtio_blk", "virtio"),
            ("virtio", "virtio_ring"),
            ("erofs", "libcrc32c"),
            ("overlay", ""),
        ]);
        let builtin = builtin("kernel/fs/ext4/ext4.ko\nkernel/x/virtio-ring.ko\n");
        let lacks = missing(&modules, Some(&builtin));
        assert_eq!(lacks.into_iter().collect::<Vec<_>>(), ["libcrc32c"]);
        assert!(in_order(&modules, Some(&builtin), "6.1").is_err(), "libcrc32c is missing");
        modules.insert("libcrc32c".into(), made_up("", "6.1"));
        let order = in_order(&modules, Some(&builtin), "6.1").unwrap();
        assert_eq!(
            order,
            [
                "virtio",
                "virtio_mmio",
                "virtio_console",
                "virtio_blk",
                "libcrc32c",
                "erofs",
                "overlay"
            ]
        );
        assert!(in_order(&modules, Some(&builtin), "6.2").is_err(), "made for another kernel");
    }

    #[test]
    fn a_circle_is_refused() {
        let modules = modules(&[("erofs", "a"), ("a", "b"), ("b", "a")]);
        assert!(in_order(&modules, None, "6.1").unwrap_err().to_string().contains("itself"));
    }

    #[test]
    fn names_are_plain() {
        assert_eq!(name_of("virtio-blk.ko.xz").as_deref(), Some("virtio_blk"));
        for bad in ["", ".ko", "a/b.ko", "..ko", "a b.ko", "a.ko.gz", "A.ko"] {
            assert_eq!(name_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn packed_modules_are_unpacked_and_bombs_are_not() {
        let module = made_up("", "6.1");
        let packed = zstd::encode_all(&module[..], 3).unwrap();
        assert_eq!(unpacked("a.ko.zst", packed).unwrap(), module);
        let bomb = zstd::encode_all(&vec![0; 33 << 20][..], 3).unwrap();
        assert!(unpacked("a.ko.zst", bomb).unwrap_err().to_string().contains("larger"));
        assert!(unpacked("a.ko.zst", b"nonsense".to_vec()).is_err());
        assert!(unpacked("a.ko", b"nonsense".to_vec()).is_err());
        if crate::bootstrap::find_program("xz").is_some() {
            assert!(unpacked("a.ko.xz", b"nonsense".to_vec()).is_err());
        }
    }
}
