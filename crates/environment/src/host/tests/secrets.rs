//! No bind shows a credential, whatever toolchains there are.

use super::*;

const SECRETS: &[&str] = &[
    // The system's.
    "root/etc/pip.conf",
    "root/etc/npmrc",
    "root/etc/gitconfig",
    "root/etc/shadow",
    "root/etc/passwd",
    "root/etc/ssh/ssh_host_rsa_key",
    "root/etc/ssl/private/host.key",
    "root/etc/apt/auth.conf",
    "root/etc/maven/settings.xml",
    "root/etc/java-17-openjdk/management/jmxremote.password",
    "root/etc/java-11-openjdk/keystore.pem",
    "root/usr/etc/npmrc",
    "root/usr/local/etc/npmrc",
    "root/usr/pip.conf",
    "root/usr/local/pip.conf",
    "root/opt/app/secret",
    "root/run/secrets/token",
    "root/var/lib/app/token",
    "root/root/.npmrc",
    "root/home/other/.netrc",
    // The home's.
    "home/u/.ssh/id_ed25519",
    "home/u/.gnupg/private-keys-v1.d/a.key",
    "home/u/.aws/credentials",
    "home/u/.azure/token.json",
    "home/u/.config/gcloud/credentials.db",
    "home/u/.config/gh/hosts.yml",
    "home/u/.config/mise/config.toml",
    "home/u/.config/go/env",
    "home/u/.config/pip/pip.conf",
    "home/u/.docker/config.json",
    "home/u/.kube/config",
    "home/u/.netrc",
    "home/u/.npmrc",
    "home/u/.yarnrc.yml",
    "home/u/.bunfig.toml",
    "home/u/.pypirc",
    "home/u/.git-credentials",
    "home/u/.gitconfig",
    "home/u/.env",
    "home/u/.bash_history",
    "home/u/.m2/settings.xml",
    "home/u/.gradle/gradle.properties",
    "home/u/.local/share/keyrings/login.keyring",
    "home/u/.local/bin/deploy-with-token",
    "home/u/.cargo/credentials",
    "home/u/.cargo/credentials.toml",
    "home/u/.cargo/config.toml",
    "home/u/.rustup/tmp/x",
    "home/u/.rustup/downloads/x",
    "home/u/.pyenv/.git/config",
    "home/u/.pyenv/versions/3.11.7/pip.conf",
    "home/u/.pyenv/versions/3.11.7/envs/work/pip.conf",
    "home/u/.nvm/.git/config",
    "home/u/.nvm/.npmrc",
    "home/u/.nvm/versions/node/v20.1.0/etc/npmrc",
    "home/u/.local/share/fnm/node-versions/v20.1.0/installation/etc/npmrc",
    "home/u/.volta/hooks.json",
    "home/u/.volta/tools/image/node/20.1.0/etc/npmrc",
    "home/u/.bun/install/cache/token",
    "home/u/.sdkman/etc/config",
    "home/u/.sdkman/candidates/maven/3.9.9/conf/settings.xml",
    "home/u/.sdkman/candidates/gradle/8.1/gradle.properties",
    "home/u/.sdkman/candidates/gradle/8.1/init.d/company.gradle",
    "home/u/.local/share/mise/installs/python/3.12/pip.conf",
    "home/u/.local/share/mise/installs/node/20/etc/npmrc",
    "home/u/.local/share/mise/installs/maven/3.9.9/apache-maven-3.9.9/conf/settings.xml",
    "home/u/.local/share/mise/trusted-configs/x",
    "home/u/.asdf/installs/python/3.12/pip.conf",
    "home/u/.asdf/installs/nodejs/20/etc/npmrc",
    "home/u/.asdf/installs/maven/3.9.9/conf/settings.xml",
    "home/u/.asdf/.git/config",
    "home/u/sdk/google-cloud-sdk/key.json",
    "home/u/go/pkg/sumdb/token",
];

const SHOWN: &[&str] = &[
    ".cargo/bin/cargo",
    ".cargo/registry/index/a",
    ".cargo/registry/cache/a",
    ".cargo/git/db/a",
    ".rustup/toolchains/stable/bin/rustc",
    ".rustup/settings.toml",
    ".pyenv/versions/3.11.7/bin/python",
    ".pyenv/shims/python",
    ".pyenv/bin/pyenv",
    ".pyenv/libexec/pyenv",
    ".pyenv/version",
    ".nvm/versions/node/v20.1.0/bin/node",
    ".nvm/nvm.sh",
    ".nvm/alias/default",
    ".local/share/fnm/node-versions/v20.1.0/installation/bin/node",
    ".volta/bin/node",
    ".volta/tools/image/node/20.1.0/bin/node",
    ".bun/bin/bun",
    ".deno/bin/deno",
    "go/bin/gopls",
    "go/pkg/mod/example.org/a/a.go",
    "sdk/go1.22.1/bin/go",
    ".sdkman/candidates/maven/3.9.9/bin/mvn",
    ".local/share/mise/installs/node/20/bin/node",
    ".local/share/mise/shims/node",
    ".local/bin/mise",
    ".asdf/installs/python/3.12/bin/python",
    ".asdf/shims/python",
    ".asdf/bin/asdf",
    ".tool-versions",
];

fn full() -> FakeHost {
    let host = FakeHost::bare();
    host.secret(SECRETS);
    host.shown(SHOWN);
    let plugin = "[remote \"origin\"]\n\turl = https://u:SECRET@example.org/a.git\n";
    host.write("home/u/.pyenv/plugins/private/.git/config", plugin);
    host.write("home/u/.asdf/plugins/private/.git/config", plugin);
    host.write("home/u/.pyenv/plugins/public/.git/config", "url = git@example.org:a.git\n");
    host.write("root/usr/bin/node", "shown");
    host.write("root/usr/local/bin/tool", "shown");
    host.write("root/etc/ssl/certs/ca.crt", "shown");
    host.write("root/etc/java-17-openjdk/security/java.security", "shown");
    host.write("root/etc/python3.11/sitecustomize.py", "shown");
    host.write("root/etc/maven/m2.conf", "shown");
    host
}

#[test]
fn no_bind_shows_a_credential_and_every_toolchain_shows() {
    let host = full();
    let described = host.describe();
    let inside = host.inside(&described);
    let leaked: Vec<_> = inside.iter().filter(|(_, text)| text.contains("SECRET")).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");

    for path in SHOWN {
        assert_eq!(inside.get(&host.home(path)).map(String::as_str), Some("shown"), "{path}");
    }
    for path in [
        "/usr/bin/node",
        "/usr/local/bin/tool",
        "/etc/ssl/certs/ca.crt",
        "/etc/java-17-openjdk/security/java.security",
        "/etc/python3.11/sitecustomize.py",
        "/etc/maven/m2.conf",
    ] {
        assert_eq!(inside.get(Path::new(path)).map(String::as_str), Some("shown"), "{path}");
    }
    let public = host.home(".pyenv/plugins/public/.git/config");
    assert!(inside[&public].contains("git@example.org"), "a harmless clone costs no mount");
}

/// Guards the test above: without the masks it has to find something.
#[test]
fn the_masks_are_what_hides_site_configuration() {
    let host = full();
    let mut described = host.describe();
    let masks = described.skeleton.with_file_name("masks");
    described.binds.retain(|bind| !bind.source.starts_with(&masks));
    let inside = host.inside(&described);
    let secrets = inside.values().filter(|text| text.contains("SECRET")).count();
    assert_eq!(secrets, 21, "{inside:#?}");
}

#[test]
fn what_cannot_be_masked_for_certain_is_not_shown() {
    let host = FakeHost::bare();
    host.shown(&[".pyenv/shims/python"]);
    for n in 0..1100 {
        fs::create_dir_all(host.home(&format!(".pyenv/versions/{n}"))).unwrap();
    }
    let described = host.describe();
    assert!(described.tools.is_empty());
    assert!(described.notices.iter().any(|notice| notice.contains("pyenv")), "{described:#?}");
    assert!(described.binds.iter().all(|bind| !bind.target.starts_with(host.home(""))));
}

#[test]
fn site_configuration_behind_a_link_is_masked_where_it_lies() {
    let host = FakeHost::bare();
    host.shown(&[".pyenv/shims/python", ".pyenv/versions/3/bin/python"]);
    host.secret(&["home/u/.pyenv/versions/3/own/pip.conf", "home/u/.secrets/pip.conf"]);
    symlink("own/pip.conf", host.home(".pyenv/versions/3/pip.conf")).unwrap();
    fs::create_dir_all(host.home(".pyenv/versions/4")).unwrap();
    symlink(host.home(".secrets/pip.conf"), host.home(".pyenv/versions/4/pip.conf")).unwrap();
    let inside = host.inside(&host.describe());
    assert!(inside.values().all(|text| text != "SECRET"), "{inside:#?}");
    assert!(inside.contains_key(&host.home(".pyenv/versions/3/own/pip.conf")));
}

#[test]
fn a_cargo_home_below_usr_is_moved_and_its_credentials_masked() {
    let mut host = FakeHost::bare();
    host.write("root/usr/local/cargo/bin/cargo", "shown");
    host.write("root/usr/local/cargo/registry/index/a", "shown");
    host.secret(&["root/usr/local/cargo/credentials.toml", "root/usr/local/cargo/config.toml"]);
    host.variable("CARGO_HOME", Path::new("/usr/local/cargo"));
    host.options.path = OsString::from("/usr/local/cargo/bin");
    let described = host.describe();
    let inside = host.inside(&described);
    assert!(inside.values().all(|text| text != "SECRET"), "{inside:#?}");
    assert!(inside.contains_key(Path::new("/usr/local/cargo/bin/cargo")));
    assert!(inside.contains_key(&host.home(".cargo/registry/index/a")), "it has to be writable");
    let home = described.variables.iter().find(|(name, _)| name == "CARGO_HOME").unwrap();
    assert_eq!(home.1, host.home(".cargo").display().to_string());
    assert!(described.path().starts_with("/usr/local/cargo/bin:"));
}
