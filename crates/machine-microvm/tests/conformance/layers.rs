//! Images of layers: marks, owners, times and unreadable files are inside what they are outside.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    time::{Duration, SystemTime},
};

use pyro_machine::{Machine, image_of};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use crate::support::Home;

/// A full layer and a delta over it, as the seed cache makes them.
pub(crate) fn layers(home: &Home) {
    let base = home.fixture.layer(
        "base",
        &[("kept", "base\n"), ("gone", "base\n"), ("over", "base\n"), ("opaque/below", "base\n")],
    );
    let delta = home.fixture.layer("delta", &[("over", "delta\n"), ("opaque/above", "delta\n")]);
    let (base, delta) = (base.unwrap(), delta.unwrap());
    mknodat(CWD, delta.join("gone"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    setxattr(delta.join("opaque"), OsStr::new("user.overlay.opaque"), b"y", XattrFlags::empty())
        .unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let kept = File::open(base.join("kept")).unwrap();
    kept.set_modified(then).unwrap();
    fs::write(base.join("secret"), "secret\n").unwrap();
    fs::set_permissions(base.join("secret"), Permissions::from_mode(0o000)).unwrap();
    let mut workspace = home.fixture.workspace(&home.machine).unwrap();
    workspace.spec.tree_lowers = vec![delta.clone(), base];
    workspace
        .session(&home.machine, |session| {
            let seen =
                session.must("cd /workspace && ls -A . opaque && cat kept over opaque/above")?;
            assert_eq!(
                seen,
                ".:\nkept\nopaque\nover\nsecret\n\nopaque:\nabove\nbase\ndelta\ndelta\n"
            );
            let kept = session.must("stat -c '%u:%g %.9Y' /workspace/kept")?;
            assert_eq!(kept, "0:0 1000000000.123456789\n");
            assert_eq!(
                session.must("stat -c %a /workspace/secret; cat /workspace/secret")?,
                "0\nsecret\n"
            );
            Ok(())
        })
        .unwrap();
    // Made once, sparse, and never written.
    let image = fs::metadata(image_of(&delta)).unwrap();
    assert_eq!(image.len(), 64 << 30);
    assert!(image.blocks() * 512 < 1 << 20, "{} blocks", image.blocks());
    assert_eq!(image.mode() & 0o222, 0);
    home.machine.prepare_layer(&delta).unwrap();
    assert_eq!(fs::metadata(image_of(&delta)).unwrap().ino(), image.ino());
}
