//! The checked-in reference pages are what the doors are made of now.
//!
//! `BLESS=1 cargo test -p pyro-cli --test reference_pages` writes them; the change is then reviewed
//! like any other.

use std::path::Path;

#[test]
fn the_pages_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for (name, page) in pyro_cli::reference_pages() {
        let path = folder.join(name);
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &page).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = written.lines().zip(page.lines()).position(|(old, new)| old != new);
        assert!(
            written == page,
            "{name} is not fresh (line {differs:?}): BLESS=1 cargo test -p pyro-cli --test reference_pages"
        );
    }
}
