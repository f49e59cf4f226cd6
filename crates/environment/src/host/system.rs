//! The host's system directories: `/usr` whole but for its own `etc`, and an allow-list of `/etc`.
//!
//! `/etc` is never shown whole: `pip.conf`, `npmrc` and package managers' settings are readable by
//! everybody there and are where index tokens live. `/opt`, `/var/lib` and `/run` are not shown at
//! all. Links of `/etc` are made again in the skeleton when they lead into what is shown.

use std::io;
use std::path::{Path, PathBuf};

use pyro_model::BindMode;

use super::HostError;
use super::fence;
use super::layout::Layout;
use super::place::{Place, Seen, directory_at, link_at};

/// Directories of the root that are links into `/usr` on merged hosts.
const MERGED: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Site configuration below `/usr`: npm's global settings, pip's for the prefixes `/usr` and
/// `/usr/local`.
const MASKED_IN_USR: &[&str] = &["usr/etc", "usr/local/etc", "usr/pip.conf", "usr/local/pip.conf"];

/// What of `/etc` is shown. Maven's own `settings.xml` is not: it holds passwords.
const SHOWN_OF_ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "maven/logging",
    "maven/m2.conf",
    "mime.types",
    "perl",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "ssl/certs",
    "terminfo",
];

/// A JDK's passwords for remote management.
const MASKED_IN_JAVA: &[&str] = &["management/jmxremote.password", "management/snmp.acl"];

pub(super) fn add(layout: &mut Layout, root: &Path) -> Result<(), HostError> {
    let system = |path: &Path, source| HostError::System { path: path.to_path_buf(), source };
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let place = Place::open(root)
        .and_then(|place| place.ok_or_else(missing))
        .map_err(|source| system(root, source))?;

    match place.look(Path::new("usr")) {
        Seen::Here(usr) if usr.directory => {
            layout.bind(usr.real, PathBuf::from("/usr"), BindMode::ReadOnly, true);
        }
        Seen::Unreadable(source) => return Err(system(Path::new("/usr"), source)),
        _ => return Err(system(Path::new("/usr"), missing())),
    }
    for name in MERGED {
        add_merged(layout, &place, name);
    }
    for path in MASKED_IN_USR {
        layout.hide(&place, Path::new("/"), Path::new(path));
    }
    if let Seen::Here(store) = place.look(Path::new("nix/store")) {
        layout.bind(store.real, PathBuf::from("/nix/store"), BindMode::ReadOnly, true);
    }
    add_etc(layout, &place);
    Ok(())
}

/// A link into `/usr` is made again; a real directory is shown as it is.
fn add_merged(layout: &mut Layout, root: &Place, name: &str) {
    let at = format!("/{name}");
    match link_at(&root.real().join(name)) {
        Ok(Some(target)) if leads_into_usr(&target) => layout.merged_link(&at, target),
        Ok(None) => {
            if let Seen::Here(entry) = root.look(Path::new(name))
                && entry.directory
            {
                layout.bind(entry.real, PathBuf::from(at), BindMode::ReadOnly, true);
            }
        }
        Ok(Some(_)) | Err(_) => {}
    }
}

fn leads_into_usr(target: &Path) -> bool {
    let below_root = target.strip_prefix("/").unwrap_or(target);
    below_root.starts_with("usr") && !below_root.components().any(|part| part.as_os_str() == "..")
}

fn add_etc(layout: &mut Layout, root: &Place) {
    let etc = match root.below(Path::new("etc")) {
        Ok(Some(etc)) => etc,
        Ok(None) => return,
        Err(error) => {
            layout.notices.push(format!("nothing of /etc is shown: {error}"));
            return;
        }
    };
    // One listing tells what is there at all, and which Pythons and Javas.
    let names = match etc.names() {
        Ok(names) => names,
        Err(error) => {
            layout.notices.push(format!("nothing of /etc is shown: {error}"));
            return;
        }
    };
    for path in SHOWN_OF_ETC {
        let first = path.split('/').next().unwrap_or(path);
        if names.binary_search_by(|name| name.as_str().cmp(first)).is_ok() {
            add_of_etc(layout, &etc, path);
        }
    }
    for name in &names {
        if name.starts_with("java-") && name.ends_with("-openjdk") {
            add_java(layout, &etc, name);
        } else if name == "python3" || name.starts_with("python3.") {
            add_of_etc(layout, &etc, name);
        }
    }
}

fn add_of_etc(layout: &mut Layout, etc: &Place, name: &str) {
    let at = format!("/etc/{name}");
    match etc.look(Path::new(name)) {
        Seen::Here(entry) if entry.real == etc.real().join(name) => {
            layout.bind(entry.real, PathBuf::from(at), BindMode::ReadOnly, entry.directory);
        }
        // The link itself, since what it leads to is judged by its own name: below /usr it shows,
        // elsewhere it leads nowhere inside. Nothing is followed here.
        Seen::Here(_) | Seen::Elsewhere(_) => {
            if let Ok(Some(target)) = link_at(&etc.real().join(name)) {
                layout.link(&at, target);
            }
        }
        Seen::Nothing | Seen::Unreadable(_) => {}
    }
}

/// A JDK's settings: shown when nothing beside them looks like a credential.
fn add_java(layout: &mut Layout, etc: &Place, name: &str) {
    let Ok(Some(place)) = etc.below(Path::new(name)) else { return };
    let suspicious = match place.names() {
        Ok(names) => names.into_iter().find(|name| fence::looks_like_credential(name)),
        Err(error) => Some(error.to_string()),
    };
    if let Some(found) = suspicious {
        layout.notices.push(format!("/etc/{name} is not shown: {found}"));
        return;
    }
    let at = Path::new("/etc").join(name);
    for path in MASKED_IN_JAVA {
        layout.hide(&place, &at, Path::new(path));
    }
    layout.bind(place.real().to_path_buf(), at, BindMode::ReadOnly, true);
}

/// Whether the host keeps its programs in a Nix store, so that `PATH` leads there through links.
pub(super) fn has_nix_store(root: &Path) -> bool {
    directory_at(&root.join("nix/store"))
}
