//! The curated environments: what is in them and where they come from, in the order tried.

use crate::name::EnvironmentName;

/// Where an environment can come from. Pulling from OCI registries will be another variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A Debian mirror.
    DebianBootstrap {
        /// The release's code name.
        suite: &'static str,
        /// Packages beside those that every Debian has.
        packages: &'static [&'static str],
    },
}

/// One curated environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogEntry {
    /// Its name.
    pub name: &'static str,
    /// What is in it, in a line.
    pub summary: &'static str,
    /// The first that works is used. Empty for `host`, which is never installed.
    pub sources: &'static [Source],
}

/// The name of the environment that is the host itself.
pub const HOST: &str = "host";

const fn bookworm(packages: &'static [&'static str]) -> Source {
    Source::DebianBootstrap { suite: "bookworm", packages }
}

/// All curated environments.
pub const CATALOG: &[CatalogEntry] = &[
    CatalogEntry { name: HOST, summary: "the host's own toolchains, read-only", sources: &[] },
    CatalogEntry {
        name: "debian:12",
        summary: "Debian 12 with git, ca-certificates, curl, python3",
        sources: &[bookworm(&["ca-certificates", "curl", "git", "python3"])],
    },
    CatalogEntry {
        name: "debian:12-base",
        summary: "Debian 12 with shell and core tools",
        sources: &[bookworm(&[])],
    },
    CatalogEntry {
        name: "debian:12-build",
        summary: "Debian 12 with git, build-essential, pkg-config, python3-venv",
        sources: &[bookworm(&[
            "build-essential",
            "ca-certificates",
            "curl",
            "git",
            "pkg-config",
            "python3",
            "python3-venv",
        ])],
    },
];

/// The curated environment of that name.
#[must_use]
pub fn find(name: &EnvironmentName) -> Option<&'static CatalogEntry> {
    CATALOG.iter().find(|entry| entry.name == name.as_str())
}
