//! Where toolchains are found, what of them is left out, and what `PATH` becomes.

use std::os::unix::fs::PermissionsExt as _;

use super::super::HostError;
use super::*;
use pyro_model::BindMode;

fn value<'a>(described: &'a HostEnvironment, name: &str) -> Option<&'a str> {
    described.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn targets(described: &HostEnvironment) -> Vec<PathBuf> {
    described.binds.iter().map(|bind| bind.target.clone()).collect()
}

#[test]
fn only_what_was_found_has_a_variable() {
    let host = FakeHost::bare();
    host.shown(&[".cargo/bin/cargo", ".cargo/registry/index/a", ".deno/bin/deno"]);
    fs::create_dir_all(host.home(".bun/install")).unwrap();
    let described = host.describe();
    let names: Vec<_> = described.variables.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["CARGO_HOME", "DENO_INSTALL", "HOME", "PATH"]);
    assert_eq!(value(&described, "CARGO_HOME"), host.home(".cargo").to_str());
    assert_eq!(value(&described, "HOME"), host.home("").to_str().map(|h| h.trim_end_matches('/')));
    let mode = |path: &str| {
        let target = host.home(path);
        described.binds.iter().find(|bind| bind.target == target).map(|bind| bind.mode)
    };
    assert_eq!(mode(".cargo/bin"), Some(BindMode::ReadOnly));
    assert_eq!(mode(".cargo/registry"), Some(BindMode::Overlay));
    assert_eq!(mode(".cargo"), None);
}

#[test]
fn path_keeps_the_callers_order_and_only_what_shows() {
    let mut host = FakeHost::bare();
    host.shown(&[".cargo/bin/cargo", ".pyenv/shims/python", ".deno/bin/deno"]);
    host.shown(&[".local/bin/mine"]);
    let home = host.home("").display().to_string();
    let home = home.trim_end_matches('/');
    host.options.path = OsString::from(format!(
        "{home}/.pyenv/shims:/usr/bin::relative:{home}/.local/bin:/opt/x/bin:/run/wrappers/bin:\
         /usr/games:{home}/.cargo/bin/../../.ssh:{home}/.cargo/bin/:/usr/bin"
    ));
    let described = host.describe();
    assert_eq!(
        described.path(),
        format!(
            "{home}/.pyenv/shims:/usr/bin:/usr/games:{home}/.cargo/bin:{home}/.deno/bin:\
             /usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin"
        )
    );
}

#[test]
fn a_bare_path_still_finds_the_selected_node() {
    let host = FakeHost::bare();
    for version in ["v18.20.1", "v20.9.0", "v20.11.1", "v22.0.0"] {
        host.shown(&[&format!(".nvm/versions/node/{version}/bin/node")]);
    }
    host.write("home/u/.nvm/alias/default", "lts/*\n");
    host.write("home/u/.nvm/alias/lts/*", "lts/iron\n");
    host.write("home/u/.nvm/alias/lts/iron", "v20\n");
    let node = host.home(".nvm/versions/node/v20.11.1/bin").display().to_string();
    assert!(host.describe().path().split(':').any(|entry| entry == node));
    // An alias cannot name a place.
    host.write("home/u/.nvm/alias/default", "../../../.ssh/id_rsa\n");
    assert!(!host.describe().path().contains(".nvm"));
    host.write("home/u/.nvm/alias/default", "default\n");
    assert!(!host.describe().path().contains(".nvm"));
}

#[test]
fn versions_come_from_small_files() {
    let host = FakeHost::bare();
    host.shown(&[".pyenv/shims/python", ".rustup/toolchains/a/x"]);
    host.write("home/u/.pyenv/version", "3.11.7\n");
    host.write(
        "home/u/.rustup/settings.toml",
        "version = \"12\"\ndefault_toolchain = \"stable\"\n",
    );
    let described = host.describe();
    let versions: Vec<_> =
        described.tools.iter().map(|tool| (tool.name.as_str(), tool.version.as_deref())).collect();
    assert_eq!(versions, [("rustup", Some("stable")), ("pyenv", Some("3.11.7"))]);
}

#[test]
fn a_toolchain_that_is_a_link_needs_its_variable() {
    let mut host = FakeHost::bare();
    host.write("data/rustup/toolchains/a/x", "shown");
    host.write("data/python/versions/3/bin/python", "shown");
    host.secret(&["data/python/versions/3/pip.conf"]);
    symlink(host.at("data/rustup"), host.home(".rustup")).unwrap();
    let described = host.describe();
    assert!(described.tools.is_empty());
    assert!(described.notices.iter().any(|n| n.contains("RUSTUP_HOME")), "{described:#?}");

    // The invented data lies in the temporary folder, which is closed like any foreign place.
    host.variable("RUSTUP_HOME", &host.at("data/rustup"));
    let described = host.describe();
    assert!(described.tools.is_empty());
    assert!(described.notices.iter().any(|n| n.contains("rustup")), "{described:#?}");

    // In the home, but not where it usually is.
    fs::rename(host.at("data"), host.home("data")).unwrap();
    host.variable("RUSTUP_HOME", &host.home("data/rustup"));
    host.variable("PYENV_ROOT", &host.home("data/python"));
    let described = host.describe();
    assert_eq!(value(&described, "RUSTUP_HOME"), host.home("data/rustup").to_str());
    assert!(targets(&described).contains(&host.home("data/rustup/toolchains")));
    assert!(host.inside(&described).values().all(|text| text != "SECRET"));
}

#[test]
fn parts_that_lead_out_of_their_toolchain_are_left_out() {
    let host = FakeHost::bare();
    host.shown(&[".cargo/bin/cargo"]);
    host.secret(&["home/u/.ssh/id_rsa", "home/u/projects/token"]);
    symlink("../.ssh", host.home(".cargo/registry")).unwrap();
    fs::create_dir_all(host.home(".deno")).unwrap();
    symlink("../projects", host.home(".deno/bin")).unwrap();
    fs::create_dir_all(host.home(".bun")).unwrap();
    symlink(host.at("root/usr/bin"), host.home(".bun/bin")).unwrap();
    let described = host.describe();
    let targets = targets(&described);
    assert!(!targets.contains(&host.home(".cargo/registry")));
    assert!(!targets.contains(&host.home(".deno/bin")));
    assert!(targets.contains(&host.home(".bun/bin")), "it leads into /usr");
    assert_eq!(described.notices.len(), 2, "{:#?}", described.notices);
    for bind in &described.binds {
        assert_eq!(bind.source.canonicalize().unwrap(), bind.source);
    }
}

#[test]
fn variables_cannot_name_the_home_a_credential_or_a_foreign_place() {
    for value in ["", "sub/../..", ".ssh", ".config/gcloud/x"] {
        let mut host = FakeHost::bare();
        host.secret(&["home/u/.ssh/bin/x", "home/u/.config/gcloud/x/bin/y", "home/u/bin/z"]);
        fs::create_dir_all(host.home("sub")).unwrap();
        host.variable("GOPATH", &host.home(value));
        let described = host.describe();
        assert!(described.tools.is_empty(), "{value}");
        assert!(host.inside(&described).values().all(|text| text != "SECRET"));
    }
    for value in ["/", "/etc", "/var/lib", "/proc/self", "/tmp", "relative", "/nonexistent/x"] {
        let mut host = FakeHost::bare();
        host.variable("GOROOT", Path::new(value));
        assert!(host.describe().tools.is_empty(), "{value}");
    }
}

#[test]
fn a_place_that_a_variable_shows_whole_holds_no_credential() {
    let mut host = FakeHost::bare();
    host.shown(&["goroot/bin/go"]);
    let goroot = host.home("goroot");
    host.variable("GOROOT", &goroot);
    let described = host.describe();
    assert!(targets(&described).contains(&host.home("goroot")));
    assert!(described.path().contains("goroot/bin"));
    host.secret(&["home/u/goroot/.env"]);
    let described = host.describe();
    assert!(described.tools.is_empty() && described.notices.len() == 1, "{described:#?}");
}

#[test]
fn root_leaves_out_what_others_can_write() {
    let mut host = FakeHost::bare();
    host.shown(&[".deno/bin/deno", ".bun/bin/bun"]);
    fs::set_permissions(host.home(".deno/bin"), fs::Permissions::from_mode(0o777)).unwrap();
    host.options.uid = 0;
    let described = host.describe();
    assert!(!targets(&described).contains(&host.home(".deno/bin")));
    assert!(described.notices.iter().any(|notice| notice.contains(".deno")));
    // Whose test this is decides about the other one.
    let roots = rustix::process::geteuid().is_root();
    assert_eq!(targets(&described).contains(&host.home(".bun/bin")), roots);
}

#[test]
fn a_home_that_cannot_be_shown_becomes_root() {
    for home in [None, Some("/"), Some("/usr/sbin"), Some("relative"), Some("/a:b"), Some("/a\nb")]
    {
        let mut host = FakeHost::bare();
        host.options.home = home.map(PathBuf::from);
        let described = host.describe();
        assert_eq!(value(&described, "HOME"), Some("/root"), "{home:?}");
        assert_eq!(described.notices.len(), 1, "{home:?}");
        assert!(described.tools.is_empty());
    }
    // A home that does not exist yet is made inside.
    let mut host = FakeHost::bare();
    host.options.home = Some(PathBuf::from("/home/nobody-here"));
    let described = host.describe();
    assert_eq!(value(&described, "HOME"), Some("/home/nobody-here"));
    assert!(described.skeleton.join("home/nobody-here").is_dir());
}

#[test]
fn a_home_behind_a_link_shows_at_both_paths() {
    let mut host = FakeHost::bare();
    host.shown(&[".cargo/bin/cargo"]);
    symlink("home", host.at("people")).unwrap();
    host.options.home = Some(host.at("people/u"));
    let described = host.describe();
    let bin = described.binds.iter().find(|bind| bind.target.ends_with(".cargo/bin")).unwrap();
    assert_eq!(bin.target, host.at("people/u/.cargo/bin"));
    assert_eq!(bin.source, host.home(".cargo/bin"));
    let link = described.skeleton.join(host.at("home/u").strip_prefix("/").unwrap());
    assert_eq!(fs::read_link(link).unwrap(), host.at("people/u"));
}

#[test]
fn a_replaced_cargo_source_is_noted() {
    let host = FakeHost::bare();
    host.shown(&[".cargo/bin/cargo"]);
    host.write("home/u/.cargo/config.toml", "[source.crates-io]\n  replace-with = \"mirror\"\n");
    let described = host.describe();
    assert!(described.notices.iter().any(|notice| notice.contains("replaces a source")));
}

#[test]
fn a_host_without_usr_is_an_error() {
    let host = FakeHost::bare();
    fs::remove_dir_all(host.at("root/usr")).unwrap();
    let error = describe(&host.options, &host.pyro()).unwrap_err();
    assert!(matches!(&error, HostError::System { path, .. } if path == Path::new("/usr")));
}
