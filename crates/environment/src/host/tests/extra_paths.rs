//! `host.extra_paths`: what is shown and what is refused.

use super::*;

fn with(host: &mut FakeHost, path: impl Into<PathBuf>) -> HostEnvironment {
    host.options.extra_paths = vec![path.into()];
    host.describe()
}

#[test]
fn a_plain_toolchain_shows_read_only_at_its_own_path() {
    let mut host = FakeHost::bare();
    host.shown(&["flutter/bin/flutter", ".local/share/uv/python/3.12/bin/python3"]);
    let whole = host.home("flutter");
    let described = with(&mut host, whole);
    let inside = host.inside(&described);
    assert!(inside.contains_key(&host.home("flutter/bin/flutter")), "{:?}", described.notices);
    let described = with(&mut host, "~/.local/share/uv/python");
    let inside = host.inside(&described);
    assert!(inside.contains_key(&host.home(".local/share/uv/python/3.12/bin/python3")));
    // One program is fine too.
    host.shown(&[".local/bin/uv"]);
    let described = with(&mut host, "~/.local/bin/uv");
    assert!(host.inside(&described).contains_key(&host.home(".local/bin/uv")));
}

#[test]
fn refusals_are_notices_and_show_nothing() {
    let mut host = FakeHost::bare();
    host.shown(&["tool/bin/x", "many/x"]);
    host.secret(&[
        "home/u/.ssh/id_rsa",
        "home/u/.aws/credentials",
        "home/u/.config/gcloud/a",
        "home/u/.config/other/b",
        "home/u/.netrc",
        "home/u/.local/share/keyrings/login.keyring",
        "home/u/.m2/settings.xml",
        "home/u/.env.local",
        "home/u/keys/server.pem",
        "home/u/keys2/server.key",
        "home/u/keys3/id_ed25519",
        "home/u/app/.env",
        "home/u/app2/conf/.npmrc",
        "home/u/app3/credentials.json",
        "home/u/app4/sub/credentials.json",
        "home/u/python/pip.conf",
        "home/u/.cargo/credentials.toml",
        "other/data",
        "pyro/environments/host/x",
    ]);
    symlink("../.ssh", host.home("tool/keys")).unwrap();
    symlink(".ssh", host.home("harmless-name")).unwrap();
    symlink(host.home(".ssh/id_rsa"), host.home("harmless-file")).unwrap();
    let before = host.describe().binds.len();
    for path in [
        host.home(".ssh"),
        host.home(".ssh/id_rsa"),
        host.home(".aws"),
        host.home(".config/gcloud"),
        host.home(".config"),
        host.home(".netrc"),
        host.home(".env.local"),
        host.home("keys"),
        host.home("keys2"),
        host.home("keys3"),
        host.home("keys/server.pem"),
        host.home("app"),
        host.home("app2"),
        host.home("app3"),
        host.home("app4"),
        host.home("python"),
        host.home(".cargo"),
        host.home(".config/other"),
        host.home(".config/other/b"),
        host.home(".local"),
        host.home(".local/share"),
        host.home(".local/share/keyrings"),
        host.home(".m2"),
        host.home("harmless-name"),
        host.home("harmless-file"),
        host.home("missing"),
        host.home("tool/../.ssh"),
        host.home(""),
        host.at("home"),
        host.at("other"),
        host.at("pyro/environments/host"),
        host.at("pyro"),
        PathBuf::from("~"),
        PathBuf::from("~/"),
        PathBuf::from("~/../u/.ssh"),
        PathBuf::from("~other/x"),
        PathBuf::from("relative"),
        PathBuf::from("/"),
        PathBuf::from("/etc"),
        PathBuf::from("/etc/ssl/private"),
        PathBuf::from("/opt"),
        PathBuf::from("/home"),
        PathBuf::from("/run"),
        PathBuf::from("/var/lib"),
        PathBuf::from("/proc/self"),
        PathBuf::from("/tmp"),
    ] {
        let described = with(&mut host, path.clone());
        assert_eq!(described.binds.len(), before, "{}", path.display());
        let told = described.notices.iter().any(|notice| notice.contains("host.extra_paths"));
        assert!(told, "{}: {:?}", path.display(), described.notices);
    }
    // A link within a shown place leads nowhere inside.
    let described = with(&mut host, "~/tool");
    assert_eq!(described.binds.len(), before + 1);
    assert!(host.inside(&described).values().all(|text| text != "SECRET"));
}

#[test]
fn the_parent_of_a_toolchain_takes_its_parts_in_and_keeps_the_masks() {
    let mut host = FakeHost::bare();
    host.shown(&[".nvm/versions/node/v20.0.0/bin/node", ".nvm/nvm.sh", ".nvm/install.sh"]);
    host.secret(&["home/u/.nvm/versions/node/v20.0.0/etc/npmrc"]);
    let described = with(&mut host, "~/.nvm");
    let inside = host.inside(&described);
    assert!(inside.contains_key(&host.home(".nvm/install.sh")), "{:?}", described.notices);
    assert!(inside.values().all(|text| text != "SECRET"));
    let nvm = described.binds.iter().filter(|bind| bind.target.starts_with(host.home(".nvm")));
    assert_eq!(nvm.count(), 2, "the whole and one mask");
}
