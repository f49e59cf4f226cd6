//! The part of the root that is made and never taken from the host: the directory tree and the
//! files of `/etc` that programs ask for.
//!
//! Promises: nothing here depends on the host's own files, only on the caller's home.

use std::path::Path;

use super::home::Home;
use super::layout::Layout;

const DIRECTORIES: &[(&str, u32)] = &[
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/home", 0o755),
    ("/media", 0o755),
    ("/mnt", 0o755),
    ("/opt", 0o755),
    ("/proc", 0o755),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/srv", 0o755),
    ("/sys", 0o755),
    ("/tmp", 0o1777),
    ("/usr", 0o755),
    ("/var/cache", 0o755),
    ("/var/lib", 0o755),
    ("/var/log", 0o755),
    ("/var/tmp", 0o1777),
    ("/workspace", 0o755),
];

const LINKS: &[(&str, &str)] = &[
    ("/etc/mtab", "/proc/self/mounts"),
    ("/etc/os-release", "../usr/lib/os-release"),
    ("/var/lock", "/run/lock"),
    ("/var/run", "/run"),
];

/// `resolv.conf` is empty since the network is off; who opens it binds another over it.
const FILES: &[(&str, &str)] = &[
    (
        "/etc/group",
        "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\nmail:x:8:\nstaff:x:50:\n\
         users:x:100:\nnogroup:x:65534:\n",
    ),
    ("/etc/hostname", "pyro\n"),
    ("/etc/hosts", "127.0.0.1\tlocalhost pyro\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
    ("/etc/machine-id", ""),
    (
        "/etc/nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files\nnetworks: files\n\
         protocols: files\nservices: files\n",
    ),
    (
        "/etc/profile",
        "# PATH and HOME are set for every command; a login shell must not lose them.\n\
         umask 022\n",
    ),
    ("/etc/protocols", "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\n"),
    ("/etc/resolv.conf", ""),
    (
        "/etc/services",
        "ftp 21/tcp\nssh 22/tcp\nsmtp 25/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\n\
         pop3 110/tcp\nntp 123/udp\nimap2 143/tcp\nhttps 443/tcp\n",
    ),
    ("/etc/shells", "/bin/sh\n/bin/bash\n"),
    // `openssl req` refuses to work without a file; the host's own is not taken.
    ("/etc/ssl/openssl.cnf", "[req]\ndistinguished_name = name\n[name]\n"),
];

pub(super) fn add(layout: &mut Layout, home: &Home) {
    for (path, mode) in DIRECTORIES {
        layout.directory(path, *mode);
    }
    for (path, target) in LINKS {
        layout.link(path, *target);
    }
    for (path, content) in FILES {
        layout.file(path, *content);
    }
    layout.file("/etc/passwd", passwd(home));
    // The home may be a place of the tree already (`/root`), with the mode it has there.
    let inside = home.inside_text();
    if !layout.nodes.contains_key(&inside) {
        layout.directory(&inside, 0o755);
    }
    // Absolute paths are also recorded in their canonical form (`/home` may be a link).
    if let Some(real) = home.place.as_ref().map(super::place::Place::real)
        && real != home.inside
        && !home.inside.starts_with(real)
        && !real.starts_with(Path::new("/usr"))
        && let Some(real) = real.to_str()
    {
        layout.link(real, &home.inside);
    }
}

/// Commands run as guest uid 0, which stands for the caller, so root's home is the caller's.
fn passwd(home: &Home) -> String {
    let home = home.inside_text();
    format!(
        "root:x:0:0:root:{home}:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    )
}
