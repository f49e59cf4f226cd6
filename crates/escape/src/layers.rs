//! Layers: written through no path that the workspace has.

use std::fs;

use crate::{
    Place,
    probe::{python, refused},
};

pub(super) fn layers(place: &Place<'_>) {
    let layer =
        place.fixture.layer("seed", &[("file", "first\n"), ("d/inner", "second\n")]).unwrap();
    let mut workspace = place.fixture.workspace(place.machine).unwrap();
    workspace.spec.tree_lowers = vec![layer.clone()];
    workspace
        .session(place.machine, |session| {
            // Writes through a mapping and through a link go to the copy.
            python(
                session,
                "
import mmap
with open('/workspace/file', 'r+b') as f:
    m = mmap.mmap(f.fileno(), 0); m[0:5] = b'XXXXX'; m.flush()
os.link('/workspace/d/inner', '/workspace/link')
open('/workspace/link', 'w').write('changed')
os.truncate('/workspace/d/inner', 0)
",
            );
            refused(
                session,
                "setfattr -n trusted.overlay.opaque -v y /workspace/d 2>&1 || false",
                &["not permitted", "not found", "not supported"],
            );
            // Marks of the overlay itself cannot be forged to show what lies elsewhere.
            let seen = python(
                session,
                "
try: os.setxattr('/workspace/d', 'user.overlay.redirect', b'/../../..'); print('set')
except OSError as error: print(errno.errorcode[error.errno])
print(sorted(os.listdir('/workspace/d')))
",
            );
            assert!(seen.ends_with("['inner']\n"), "{seen}");
            Ok(())
        })
        .unwrap();
    // And the next machine, which reads such marks from the upper, shows nothing else either.
    workspace
        .session(place.machine, |session| {
            let seen = session.must("ls -A /workspace/d").unwrap();
            assert_eq!(seen, "inner\n");
            Ok(())
        })
        .unwrap();
    assert_eq!(fs::read_to_string(layer.join("file")).unwrap(), "first\n");
    assert_eq!(fs::read_to_string(layer.join("d/inner")).unwrap(), "second\n");
}
