//! The table of per-user toolchains: where each lies, what of it is shown, and what in it is hidden.
//!
//! A part is listed only when a package manager keeps no credentials in it; where one keeps its site
//! configuration within a part, the file stands under `masks`. A row that has to write beside its
//! parts finds a writable folder of the skeleton there.

use pyro_model::BindMode::{self, Overlay, ReadOnly};

/// One row of the table.
pub(super) struct Toolchain {
    pub(super) name: &'static str,
    /// Names its place, on the host and inside.
    pub(super) variable: Option<&'static str>,
    /// Below the home, in order of preference; for when the variable is not set.
    pub(super) places: &'static [&'static str],
    /// What is shown; a `*` stands for part of one name.
    pub(super) parts: &'static [(&'static str, BindMode)],
    /// Beside it in the home, needed to run it.
    pub(super) home_files: &'static [&'static str],
    /// Its directories of programs, for callers whose `PATH` lacks them.
    pub(super) paths: &'static [&'static str],
    /// Site configuration within the parts: hidden where it exists.
    pub(super) masks: &'static [&'static str],
}

const NONE: Toolchain = Toolchain {
    name: "",
    variable: None,
    places: &[],
    parts: &[],
    home_files: &[],
    paths: &[],
    masks: &[],
};

/// Cargo's home is moved into the user's when it lies below `/usr`: it has to be writable.
pub(super) const CARGO: &str = "cargo";

pub(super) const TABLE: &[Toolchain] = &[
    Toolchain {
        name: CARGO,
        variable: Some("CARGO_HOME"),
        places: &[".cargo"],
        // Never credentials.toml and config.toml.
        parts: &[("bin", ReadOnly), ("registry", Overlay), ("git", Overlay)],
        paths: &["bin"],
        masks: &["config", "config.toml", "credentials", "credentials.toml"],
        ..NONE
    },
    Toolchain {
        name: "rustup",
        variable: Some("RUSTUP_HOME"),
        places: &[".rustup"],
        parts: &[("toolchains", ReadOnly), ("settings.toml", ReadOnly)],
        ..NONE
    },
    Toolchain {
        name: "pyenv",
        variable: Some("PYENV_ROOT"),
        places: &[".pyenv"],
        parts: &[
            ("versions", ReadOnly),
            ("shims", ReadOnly),
            ("bin", ReadOnly),
            ("libexec", ReadOnly),
            ("plugins", ReadOnly),
            ("version", ReadOnly),
        ],
        paths: &["shims", "bin"],
        masks: &["versions/*/pip.conf", "versions/*/envs/*/pip.conf", "plugins/*/.git/config"],
        ..NONE
    },
    Toolchain {
        name: "nvm",
        variable: Some("NVM_DIR"),
        places: &[".nvm", ".config/nvm"],
        parts: &[
            ("versions", ReadOnly),
            ("alias", ReadOnly),
            ("nvm.sh", ReadOnly),
            ("nvm-exec", ReadOnly),
        ],
        masks: &["versions/*/*/etc/npmrc"],
        ..NONE
    },
    Toolchain {
        name: "fnm",
        variable: Some("FNM_DIR"),
        places: &[".local/share/fnm", ".fnm"],
        parts: &[("node-versions", ReadOnly), ("aliases", ReadOnly)],
        paths: &["aliases/default/bin"],
        masks: &["node-versions/*/installation/etc/npmrc"],
        ..NONE
    },
    Toolchain {
        name: "volta",
        variable: Some("VOLTA_HOME"),
        places: &[".volta"],
        parts: &[("bin", ReadOnly), ("tools", ReadOnly), ("layout.v4", ReadOnly)],
        paths: &["bin"],
        masks: &["tools/image/node/*/etc/npmrc"],
        ..NONE
    },
    Toolchain {
        name: "bun",
        variable: Some("BUN_INSTALL"),
        places: &[".bun"],
        parts: &[("bin", ReadOnly)],
        paths: &["bin"],
        ..NONE
    },
    Toolchain {
        name: "deno",
        variable: Some("DENO_INSTALL"),
        places: &[".deno"],
        parts: &[("bin", ReadOnly)],
        paths: &["bin"],
        ..NONE
    },
    Toolchain {
        name: "go root",
        variable: Some("GOROOT"),
        parts: &[("", ReadOnly)],
        paths: &["bin"],
        ..NONE
    },
    Toolchain {
        name: "go sdk",
        places: &["sdk"],
        // Other kits lie there too, `google-cloud-sdk` among them.
        parts: &[("go1*", ReadOnly), ("gotip", ReadOnly)],
        ..NONE
    },
    Toolchain {
        name: "go",
        variable: Some("GOPATH"),
        places: &["go"],
        parts: &[("bin", ReadOnly), ("pkg/mod", Overlay)],
        paths: &["bin"],
        ..NONE
    },
    Toolchain { name: "go modules", variable: Some("GOMODCACHE"), parts: &[("", Overlay)], ..NONE },
    Toolchain {
        name: "sdkman",
        variable: Some("SDKMAN_DIR"),
        places: &[".sdkman"],
        parts: &[("candidates", ReadOnly)],
        masks: &[
            "candidates/maven/*/conf/settings.xml",
            "candidates/gradle/*/gradle.properties",
            "candidates/gradle/*/init.d",
        ],
        ..NONE
    },
    Toolchain {
        name: "mise",
        variable: Some("MISE_DATA_DIR"),
        places: &[".local/share/mise"],
        parts: &[("installs", ReadOnly), ("shims", ReadOnly)],
        home_files: &[".local/bin/mise"],
        paths: &["shims"],
        masks: &[
            "installs/python/*/pip.conf",
            "installs/node/*/etc/npmrc",
            "installs/maven/*/conf/settings.xml",
            "installs/maven/*/*/conf/settings.xml",
            "installs/gradle/*/gradle.properties",
            "installs/gradle/*/init.d",
        ],
    },
    Toolchain {
        name: "asdf",
        variable: Some("ASDF_DATA_DIR"),
        places: &[".asdf"],
        parts: &[
            ("installs", ReadOnly),
            ("shims", ReadOnly),
            ("plugins", ReadOnly),
            ("bin", ReadOnly),
            ("lib", ReadOnly),
            ("libexec", ReadOnly),
            ("asdf.sh", ReadOnly),
        ],
        home_files: &[".tool-versions"],
        paths: &["shims", "bin"],
        masks: &[
            "installs/python/*/pip.conf",
            "installs/nodejs/*/etc/npmrc",
            "installs/nodejs/*/.npm/etc/npmrc",
            "installs/maven/*/conf/settings.xml",
            "installs/gradle/*/gradle.properties",
            "installs/gradle/*/init.d",
            "plugins/*/.git/config",
        ],
    },
];
