//! What a model chooses is narrower than what a person does, and nothing is swapped under it.

use super::*;

fn guarded() -> SeedOptions {
    SeedOptions { guarded: true, ..SeedOptions::default() }
}

#[test]
fn an_ignored_directory_comes_without_what_looks_like_a_credential() {
    let place = Place::repo();
    for name in ["target/x", "target/.env", "target/deep/id_rsa", "target/deep/a.pem", "target/y"] {
        place.write(name, name);
    }
    let source = SeedSource::Directory { path: place.at("target") };
    let layer = prepare(&source, &guarded(), &place.store(), &NoArchives).unwrap();
    assert_eq!(files(&layer), ["x", "y"]);
    let skipped: Vec<_> = layer.facts.skipped.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(skipped, [".env", "deep/a.pem", "deep/id_rsa"]);
    // The person gets all of it, and no layer of the other kind.
    let person = SeedOptions::default();
    let layer = prepare(&source, &person, &place.store(), &NoArchives).unwrap();
    assert_eq!(files(&layer).len(), 5);
}

#[test]
fn what_a_model_includes_never_reaches_credentials() {
    let place = Place::repo();
    for name in ["target/x", "target/.env", "target/.npmrc", ".env"] {
        place.write(name, name);
    }
    let globs = ["target", "*", "**", "../*"].map(str::to_owned).to_vec();
    let options = SeedOptions { guarded_include: globs, ..guarded() };
    let layer = place.seed_with(&options).unwrap();
    let taken = files(&layer);
    assert!(taken.contains(&"target/x".to_owned()), "{taken:?}");
    assert!(
        !taken.iter().any(|path| path.contains(".env") || path.contains(".npmrc")),
        "{taken:?}"
    );
}

#[test]
fn a_broken_checkout_is_no_plain_directory_unless_somebody_named_it() {
    let place = Place::empty();
    place.write("secret", "s");
    place.write(".git", "gitdir: /nowhere/at/all\n");
    let error = place.seed_with(&guarded()).unwrap_err();
    assert_eq!(error.code(), "source_failed");
    let named = SeedSource::Directory { path: place.project() };
    let layer = prepare(&named, &guarded(), &place.store(), &NoArchives).unwrap();
    assert_eq!(files(&layer), ["secret"]);
}

#[test]
fn a_source_that_was_swapped_for_a_link_is_not_followed() {
    let place = Place::empty();
    place.write("victim/secret", "s");
    place.write("victim.tar", [vec![b'a'; 257], b"ustar\0".to_vec(), vec![0; 300]].concat());
    std::os::unix::fs::symlink("victim", place.at("judged")).unwrap();
    std::os::unix::fs::symlink("victim.tar", place.at("judged.tar")).unwrap();
    std::os::unix::fs::symlink(".", place.at("above")).unwrap();
    for source in [
        SeedSource::Directory { path: place.at("judged") },
        SeedSource::Checkout { path: place.at("judged") },
        SeedSource::Directory { path: place.at("above/victim") },
        SeedSource::Archive { path: place.at("judged.tar") },
        SeedSource::Archive { path: place.at("above/victim.tar") },
    ] {
        let error = prepare(&source, &guarded(), &place.store(), &NoArchives).unwrap_err();
        assert_eq!(error.code(), "source_failed", "{source:?}");
    }
    let open = |path: &str| crate::seed::beneath::Rooted::open_settled(&place.at(path));
    assert!(open("victim").is_ok());
    assert!(open("judged").is_err() && open("above/victim").is_err());
}
