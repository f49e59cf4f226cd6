//! The host that the tests run on.

use super::*;

#[test]
fn this_host_shows_nothing_that_is_closed() {
    let temp = tempfile::tempdir().unwrap();
    let options = HostOptions::of_this_process(Vec::new());
    let described = describe(&options, temp.path()).unwrap();
    assert!(described.binds.iter().any(|bind| bind.target == Path::new("/usr")));
    let closed = ["/", "/etc", "/opt", "/root", "/run", "/var", "/var/lib", "/home", "/etc/ssl"];
    for bind in &described.binds {
        assert_eq!(bind.source.canonicalize().unwrap(), bind.source);
        let target = &bind.target;
        assert!(closed.iter().all(|place| bind.source != Path::new(place)), "{target:?}");
        if let Some(home) = &options.home {
            assert!(!home.starts_with(&bind.source), "{target:?} holds the home");
        }
    }
    for pair in described.binds.windows(2) {
        assert!(!pair[0].target.starts_with(&pair[1].target) || pair[0].target == pair[1].target);
    }
    let make = Path::new("/usr/bin/make").exists();
    assert_eq!(crate::tools::ToolRoot::Host(&described).has(crate::tools::Tool::Make), make);
}
