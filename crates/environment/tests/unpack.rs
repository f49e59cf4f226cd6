//! Archives from anybody: each hostile kind is refused by name, and nothing lands outside.
#![expect(clippy::unwrap_used, reason = "test code outside of the test functions")]

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use pyro_environment::unpack::{
    self, Bound, ExpectedArchive, Limits, Ownership, Refusal, UnpackError, UnpackPlan,
    UnpackSummary,
};
use tar::{EntryType, Header};
use tempfile::TempDir;

/// A target with a neighbour that must stay as it is.
struct Room(TempDir);

impl Room {
    fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        std::fs::create_dir(room.path().join("target")).unwrap();
        std::fs::create_dir(room.path().join("outside")).unwrap();
        std::fs::write(room.path().join("outside/secret"), "untouched").unwrap();
        Self(room)
    }

    fn target(&self) -> PathBuf {
        self.0.path().join("target")
    }

    fn unpack(&self, archive: &[u8], plan: &UnpackPlan) -> Result<UnpackSummary, UnpackError> {
        let target: OwnedFd = File::open(self.target()).unwrap().into();
        let result = unpack::run(archive, target, plan);
        self.assert_outside_untouched();
        result
    }

    fn assert_outside_untouched(&self) {
        let outside = self.0.path().join("outside");
        let names: Vec<_> = std::fs::read_dir(&outside).unwrap().flatten().collect();
        assert_eq!(names.len(), 1);
        let secret = std::fs::metadata(outside.join("secret")).unwrap();
        assert_eq!((secret.nlink(), secret.mode() & 0o777), (1, 0o644));
        assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"untouched");
        assert_eq!(std::fs::read_dir(self.0.path()).unwrap().count(), 2);
    }
}

/// A tar being written, names taken verbatim.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn raw(mut self, kind: EntryType, name: &[u8], link: &[u8], mode: u32, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }
    fn file(self, name: &str, data: &[u8]) -> Self {
        self.raw(EntryType::Regular, name.as_bytes(), b"", 0o644, data)
    }
    fn directory(self, name: &str) -> Self {
        self.raw(EntryType::Directory, name.as_bytes(), b"", 0o755, b"")
    }
    fn symlink(self, name: &str, to: &str) -> Self {
        self.raw(EntryType::Symlink, name.as_bytes(), to.as_bytes(), 0o777, b"")
    }
    fn hard_link(self, name: &str, to: &str) -> Self {
        self.raw(EntryType::Link, name.as_bytes(), to.as_bytes(), 0o644, b"")
    }
    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn image() -> UnpackPlan {
    UnpackPlan::image(Ownership::Ignore)
}

fn refusal(result: Result<UnpackSummary, UnpackError>) -> Refusal {
    match result {
        Err(UnpackError::Refused { reason, entry }) => {
            assert!(!entry.is_empty());
            reason
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn bound(result: Result<UnpackSummary, UnpackError>) -> Bound {
    match result {
        Err(UnpackError::TooLarge { bound, .. }) => bound,
        other => panic!("not bounded: {other:?}"),
    }
}

#[test]
fn seeds_refuse_each_hostile_kind_by_name() {
    use Refusal::*;
    let outside = "../outside/secret";
    let device = |kind| Archive::default().raw(kind, b"dev", b"", 0o666, b"").end();
    for (what, archive, reason) in [
        ("absolute", Archive::default().file("/etc/passwd", b"x").end(), AbsoluteName),
        ("parent", Archive::default().file("a/../../x", b"x").end(), ParentName),
        ("inner parent", Archive::default().file("a/../x", b"x").end(), ParentName),
        (
            "link, then through it",
            Archive::default().symlink("l", "../outside").file("l/x", b"x").end(),
            EscapingPath,
        ),
        (
            "inner link, then through it",
            Archive::default().directory("d").symlink("l", "d").file("l/x", b"x").end(),
            EscapingPath,
        ),
        ("through a file", Archive::default().file("f", b"").file("f/x", b"x").end(), EscapingPath),
        ("hard link outward", Archive::default().hard_link("h", outside).end(), OutwardHardLink),
        (
            "hard link absolute",
            Archive::default().hard_link("h", "/etc/passwd").end(),
            OutwardHardLink,
        ),
        (
            "hard link through a link",
            Archive::default().symlink("l", "../outside").hard_link("h", "l/secret").end(),
            OutwardHardLink,
        ),
        (
            "hard link to nothing",
            Archive::default().hard_link("h", "missing").end(),
            OutwardHardLink,
        ),
        (
            "hard link to a directory",
            Archive::default().directory("d").hard_link("h", "d").end(),
            OutwardHardLink,
        ),
        ("character device", device(EntryType::Char), Device),
        ("block device", device(EntryType::Block), Device),
        ("fifo", device(EntryType::Fifo), Fifo),
        ("sparse", device(EntryType::GNUSparse), Sparse),
        ("unknown", device(EntryType::new(b'Z')), UnknownType),
        (
            "the target as a file",
            Archive::default().file("./", b"").raw(EntryType::Symlink, b".", b"/", 0, b"").end(),
            BadName,
        ),
    ] {
        let room = Room::new();
        assert_eq!(refusal(room.unpack(&archive, &UnpackPlan::seed())), reason, "{what}");
    }
}

#[test]
fn seeds_keep_content_and_links_and_lose_setuid() {
    let room = Room::new();
    let archive = Archive::default()
        .directory("./")
        .raw(EntryType::Regular, b"./bin/tool", b"", 0o6755, b"#!/bin/sh\n")
        .symlink("away", "/etc/passwd")
        .hard_link("same", "bin/tool")
        .file("again", b"old")
        .file("again", b"new")
        .end();
    for packed in [archive.clone(), gzip(&archive), zstd::encode_all(&archive[..], 3).unwrap()] {
        let room = Room::new();
        let summary = room.unpack(&packed, &UnpackPlan::seed()).unwrap();
        assert_eq!((summary.files, summary.symlinks, summary.hard_links), (3, 1, 1));
    }
    room.unpack(&archive, &UnpackPlan::seed()).unwrap();
    let tool = std::fs::metadata(room.target().join("bin/tool")).unwrap();
    assert_eq!((tool.mode() & 0o7777, tool.nlink(), tool.mtime()), (0o755, 2, 1_700_000_000));
    assert_eq!(std::fs::read_link(room.target().join("away")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(std::fs::read(room.target().join("again")).unwrap(), b"new");
}

#[test]
fn images_resolve_links_inside_and_skip_devices() {
    let room = Room::new();
    let archive = Archive::default()
        .directory("/usr/lib")
        .symlink("lib", "usr/lib")
        .symlink("abs", "/usr/lib")
        .symlink("up", "../../../../outside")
        .file("/lib/a", b"a")
        .file("abs/b", b"b")
        .raw(EntryType::Regular, b"usr/su", b"", 0o4755, b"")
        .raw(EntryType::Char, b"dev/null", b"", 0o666, b"")
        .raw(EntryType::Fifo, b"run/fifo", b"", 0o666, b"")
        .end();
    let summary = room.unpack(&archive, &image()).unwrap();
    assert_eq!(summary.skipped_devices, 2);
    assert_eq!(std::fs::read(room.target().join("usr/lib/a")).unwrap(), b"a");
    assert_eq!(std::fs::read(room.target().join("usr/lib/b")).unwrap(), b"b");
    let su = std::fs::metadata(room.target().join("usr/su")).unwrap();
    assert_eq!(su.mode() & 0o7777, 0o4755 | 0o600);
    assert!(!room.target().join("dev/null").exists());

    let refuse = UnpackPlan { refuse_devices: true, ..image() };
    assert_eq!(refusal(Room::new().unpack(&archive, &refuse)), Refusal::Device);
    // A link that leads up ends at the image's own root: there is no such directory in it.
    let escape = Archive::default().symlink("up", "../outside").file("up/x", b"x").end();
    assert_eq!(refusal(Room::new().unpack(&escape, &image())), Refusal::EscapingPath);
    let dots = Archive::default().file("usr/../../x", b"x").end();
    assert_eq!(refusal(Room::new().unpack(&dots, &image())), Refusal::ParentName);
}

#[test]
fn a_directory_replaced_by_a_link_is_not_written_through() {
    let archive =
        Archive::default().file("d/one", b"1").symlink("d", "../outside").file("d/two", b"2").end();
    let result = Room::new().unpack(&archive, &UnpackPlan::seed());
    assert_eq!(refusal(result), Refusal::EscapingPath);
}

#[test]
fn bombs_hit_their_bounds() {
    let many = (0..50).fold(Archive::default(), |a, n| a.file(&format!("f{n}"), b"")).end();
    let deep = Archive::default().directory(&"d/".repeat(40)).end();
    let long = Archive::default().file(&"n".repeat(90), b"").end();
    let zeros = gzip(&Archive::default().file("zeros", &vec![0; 4 << 20]).end());
    let limits = Limits { entries: 49, ..Limits::default() };
    let with = |limits| UnpackPlan { limits, ..UnpackPlan::seed() };
    let hit = |archive: &[u8], limits| bound(Room::new().unpack(archive, &with(limits)));
    assert_eq!(hit(&many, limits), Bound::Entries);
    assert_eq!(hit(&many, Limits { bytes: 1000, ..Limits::default() }), Bound::Bytes);
    assert_eq!(hit(&deep, Limits { depth: 39, ..Limits::default() }), Bound::Depth);
    assert_eq!(hit(&long, Limits { name_length: 89, ..Limits::default() }), Bound::NameLength);
    let floor = Limits { expansion_floor: 1 << 20, ..Limits::default() };
    assert_eq!(hit(&zeros, floor), Bound::Expansion);
    Room::new().unpack(&zeros, &UnpackPlan::seed()).unwrap();
    // The size alone promises a terabyte; the archive holds nothing of it.
    let mut header = Header::new_gnu();
    header.set_path("huge").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_size(1 << 40);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    let huge = Room::new().unpack(header.as_bytes(), &UnpackPlan::seed());
    assert!(matches!(huge, Err(UnpackError::Malformed { .. })), "{huge:?}");
    // A long name of a gigabyte is refused before it is read.
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 30);
    header.set_cksum();
    assert_eq!(hit(header.as_bytes(), Limits::default()), Bound::ExtendedHeader);
}

#[test]
fn long_names_of_both_kinds_are_read() {
    let name = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let mut gnu = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    gnu.append_data(&mut header, &name, &b"hi"[..]).unwrap();
    let record = format!("path={name}\n");
    let length = record.len() + 4;
    let pax = format!("{length} {record}");
    assert_eq!(pax.len(), length);
    let pax = Archive::default()
        .raw(EntryType::XHeader, b"pax", b"", 0o644, pax.as_bytes())
        .file("short", b"hi")
        .end();
    for archive in [gnu.into_inner().unwrap(), pax] {
        let room = Room::new();
        room.unpack(&archive, &UnpackPlan::seed()).unwrap();
        assert_eq!(std::fs::read(room.target().join(&name)).unwrap(), b"hi");
    }
}

#[test]
fn broken_archives_are_malformed_and_promises_are_checked() {
    let good = Archive::default().file("f", b"content").end();
    for broken in [&b"not a tar at all"[..], &[0x1f, 0x8b, 9, 9], &good[..700]] {
        let result = Room::new().unpack(broken, &UnpackPlan::seed());
        assert!(matches!(result, Err(UnpackError::Malformed { .. })), "{result:?}");
    }
    use sha2::Digest;
    let packed = gzip(&good);
    let sha256: String =
        sha2::Sha256::digest(&packed).iter().map(|byte| format!("{byte:02x}")).collect();
    let expect = |sha256: &str, bytes| UnpackPlan {
        expected: Some(ExpectedArchive { sha256: sha256.to_owned(), bytes }),
        ..image()
    };
    let bytes = packed.len() as u64;
    Room::new().unpack(&packed, &expect(&sha256, bytes)).unwrap();
    for plan in
        [expect(&"0".repeat(64), bytes), expect(&sha256, bytes - 1), expect(&sha256, bytes + 1)]
    {
        let result = Room::new().unpack(&packed, &plan);
        assert!(matches!(result, Err(UnpackError::Mismatch { .. })), "{result:?}");
    }
}

#[test]
fn plans_and_failures_survive_the_way_to_another_process() {
    let plan = UnpackPlan { whiteouts: true, ..UnpackPlan::image(Ownership::KEEP) };
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<UnpackPlan>(&text).unwrap(), plan);
    let bad = Archive::default().file("/x", b"").end();
    let error = Room::new().unpack(&bad, &UnpackPlan::seed()).unwrap_err();
    let text = serde_json::to_string(&error).unwrap();
    assert_eq!(serde_json::from_str::<UnpackError>(&text).unwrap(), error);
}

#[test]
fn owners_above_the_map_are_refused() {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o644);
    header.set_uid(70_000);
    header.set_gid(0);
    archive.append_data(&mut header, "f", &b""[..]).unwrap();
    let archive = archive.into_inner().unwrap();
    let result = Room::new().unpack(&archive, &UnpackPlan::image(Ownership::KEEP));
    assert_eq!(refusal(result), Refusal::UnmappedOwner);
    Room::new().unpack(&archive, &image()).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Names that meet each other often, and lead everywhere.
fn name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("a"),
        Just("b"),
        Just("l"),
        Just(".."),
        Just("."),
        Just(""),
        Just("outside"),
        Just("secret"),
        Just(".wh.a"),
        Just(".wh..wh..opq"),
        Just(".wh..."),
    ];
    proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

fn entry() -> impl Strategy<Value = (u8, String, String)> {
    let kind = proptest::sample::select(&b"0125346xLKgSV\0"[..]);
    (kind, name(), name())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_archive_reaches_outside(
        entries in proptest::collection::vec(entry(), 1..14),
        seed: bool,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut archive = Archive::default();
        for (kind, name, link) in &entries {
            let data: &[u8] = if matches!(kind, b'0' | b'L' | b'K' | b'x') { link.as_bytes() } else { b"" };
            archive = archive.raw(EntryType::new(*kind), name.as_bytes(), link.as_bytes(), 0o644, data);
        }
        let mut bytes = archive.end();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let plan = if seed { UnpackPlan::seed() } else { UnpackPlan { whiteouts: true, ..image() } };
        let room = Room::new();
        let _ = room.unpack(&bytes, &plan);
        let mut pending = vec![room.target()];
        while let Some(path) = pending.pop() {
            let found = std::fs::symlink_metadata(&path).unwrap();
            prop_assert_eq!(found.permissions().mode() & 0o7000, 0);
            if found.is_dir() {
                pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        pyro_environment::remove(&room.target()).unwrap();
        prop_assert!(!room.target().exists());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000), magic in 0..4_u8) {
        let mut archive = match magic {
            0 => vec![0x1f, 0x8b, 8, 0],
            1 => vec![0x28, 0xb5, 0x2f, 0xfd],
            2 => Archive::default().file("f", b"x").0,
            _ => Vec::new(),
        };
        archive.extend(bytes);
        let _ = Room::new().unpack(&archive, &UnpackPlan::seed());
    }
}
