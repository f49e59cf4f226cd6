//! Directories, archives, repository addresses and nothing.

use super::*;
use crate::seed::OriginKind;

fn repo(place: &Place, reference: Option<&str>) -> Result<SeedLayer, SeedError> {
    let url = format!("file://{}", place.project().display());
    let source = SeedSource::Repo { url, reference: reference.map(str::to_owned) };
    prepare(&source, &SeedOptions::default(), &place.store(), &NoArchives)
}

#[test]
fn a_plain_directory_comes_as_it_is() {
    let place = Place::empty();
    place.write("a/b", "b");
    std::fs::create_dir(place.at("empty")).unwrap();
    place.write("inner/.git/config", "[core]");
    place.write("inner/x", "x");
    place.write(".gitignore", "a\n");
    place.write(".pyro/exports/y", "y");
    let layer = place.seed();
    assert_eq!(files(&layer), [".gitignore", "a/b", "inner/x"]);
    assert!(merged(&layer).contains_key("empty"));
    assert_eq!(layer.facts.origin_kind, OriginKind::Directory);
    assert_eq!(layer.facts.skipped[0].path, "inner/.git");
    assert_eq!(place.seed().key(), layer.key());
    place.write("a/b", "c");
    std::fs::remove_dir(place.at("empty")).unwrap();
    let delta = place.seed();
    assert_eq!(delta.layers.len(), 2);
    assert!(!merged(&delta).contains_key("empty"));
    assert_eq!(text(&delta, "a/b"), "c");
}

#[test]
fn sources_that_are_not_there_say_so() {
    let place = Place::empty();
    let options = SeedOptions::default();
    for (source, code) in [
        (SeedSource::Directory { path: place.at("absent") }, "not_found"),
        (SeedSource::Archive { path: place.at("absent") }, "not_found"),
        (SeedSource::Archive { path: place.project() }, "invalid_argument"),
    ] {
        let error = prepare(&source, &options, &place.store(), &NoArchives).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    place.write("file", "x");
    let source = SeedSource::Directory { path: place.at("file") };
    let error = prepare(&source, &options, &place.store(), &NoArchives).unwrap_err();
    assert_eq!(error.code(), "invalid_argument");
}

#[test]
fn an_empty_workspace_has_an_empty_layer() {
    let place = Place::empty();
    let options = SeedOptions::default();
    let layer = prepare(&SeedSource::None, &options, &place.store(), &NoArchives).unwrap();
    assert_eq!(layer.facts.origin_kind, OriginKind::None);
    assert!(merged(&layer).is_empty() && layer.layers[0].is_dir());
}

#[test]
fn an_archive_is_unpacked_once() {
    struct Counting(std::cell::Cell<u64>);
    impl ArchiveUnpacker for Counting {
        fn unpack(
            &self,
            _: std::fs::File,
            _: &Path,
            into: &Path,
            _: &SeedLimits,
        ) -> Result<Unpacked, SeedError> {
            self.0.set(self.0.get() + 1);
            std::fs::write(into.join("unpacked"), "x").unwrap();
            Ok(Unpacked { files: 1, bytes: 1, skipped: Vec::new() })
        }
    }
    let place = Place::empty();
    place.write("x.tar.gz", b"\x1f\x8bcontent");
    let source = SeedSource::Archive { path: place.at("x.tar.gz") };
    let counting = Counting(std::cell::Cell::new(0));
    for _ in 0..2 {
        let layer = prepare(&source, &SeedOptions::default(), &place.store(), &counting).unwrap();
        assert_eq!(files(&layer), ["unpacked"]);
        assert_eq!(layer.facts.files, 1);
        assert!(!layer.facts.git_rules);
    }
    assert_eq!(counting.0.get(), 1);
}

#[test]
fn a_repository_address_is_cloned_at_a_reference() {
    let place = Place::repo();
    place.git(&["tag", "v1"]);
    let first = place.git(&["rev-parse", "HEAD"]);
    place.write("README.md", "second\n");
    place.git(&["commit", "-qam", "second"]);
    place.git(&["checkout", "-qb", "side"]);
    place.write("README.md", "side\n");
    place.git(&["commit", "-qam", "side"]);
    place.git(&["checkout", "-q", "main"]);
    let head = place.git(&["rev-parse", "HEAD"]);
    let side = place.git(&["rev-parse", "side"]);
    for (reference, commit, readme) in [
        (None, &head, "second\n"),
        (Some("main"), &head, "second\n"),
        (Some("side"), &side, "side\n"),
        (Some("v1"), &first, "hello\n"),
        (Some(first.as_str()), &first, "hello\n"),
        (Some(&first[..10]), &first, "hello\n"),
    ] {
        let layer = repo(&place, reference).unwrap();
        assert_eq!(text(&layer, "README.md"), readme, "{reference:?}");
        assert_eq!(layer.facts.commit.as_ref(), Some(commit));
        assert_eq!(layer.facts.origin_kind, OriginKind::Repo);
        assert!(!layer.facts.dirty && layer.facts.has_git);
        let out = tempfile::tempdir().unwrap();
        materialise(&layer, out.path());
        let status = git_in(out.path(), &["status", "--porcelain"]);
        assert_eq!(String::from_utf8_lossy(&status.stdout), "");
        assert_eq!(repo(&place, reference).unwrap().key(), layer.key());
    }
    let error = repo(&place, Some("absent")).unwrap_err();
    assert_eq!(error.code(), "source_failed");
    assert!(error.to_string().contains("absent"));
}

#[test]
fn other_addresses_are_refused() {
    let place = Place::empty();
    for url in [
        "ssh://h/x",
        "git@h:x",
        "http://h/x",
        "ext::sh -c x",
        "/etc",
        "file://host/x",
        "--upload-pack=x",
        "https://h/ x",
    ] {
        let source = SeedSource::Repo { url: url.into(), reference: None };
        let options = SeedOptions::default();
        let error = prepare(&source, &options, &place.store(), &NoArchives).unwrap_err();
        assert_eq!(error.code(), "invalid_argument", "{url}");
    }
    for reference in ["--upload-pack=x", "a..b", "", "a b"] {
        let error = repo(&place, Some(reference)).unwrap_err();
        assert_eq!(error.code(), "invalid_argument", "{reference}");
    }
    let error = repo(&place, None).unwrap_err();
    assert_eq!(error.code(), "source_failed");
}

#[test]
fn credentials_in_an_address_are_in_no_message() {
    let place = Place::empty();
    // A closed port: the clone fails, and its message would quote the address.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("https://me:hunter2secret@127.0.0.1:{port}/x.git");
    let source = SeedSource::Repo { url, reference: None };
    let options = SeedOptions::default();
    let error = prepare(&source, &options, &place.store(), &NoArchives).unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert!(matches!(error.code(), "network_failed" | "source_failed"), "{error}");
}
