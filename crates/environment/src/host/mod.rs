//! The `host` environment: the host's own toolchains, and none of the host's credentials.
//!
//! [`describe`] says what a container has to mount: a *skeleton* (a small read-only root made once
//! per content), binds of host places on top of it, and the variables every command gets.
//!
//! Promises: what is shown is an allow-list; every bind's source is a canonical path (no component
//! is a link), so the machine can open it with `RESOLVE_NO_SYMLINKS`; site configuration inside a
//! toolchain, where package managers keep tokens (`pip.conf`, `etc/npmrc`), is masked; no
//! subprocess runs and no toolchain is walked, since this is on the path of every `pyro run host`.
//! Does not mount anything, and does not set the general variables (`TERM`, `LANG`, ...).

mod extra;
mod fence;
mod home;
mod layout;
mod made_files;
mod path;
mod place;
mod skeleton;
mod system;
mod table;
mod toolchains;
mod versions;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use pyro_model::Bind;

pub use skeleton::{remove_skeleton, skeleton_keys, skeleton_of};

/// What the caller's process and configuration say; read once, so that tests can invent it.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The caller's `HOME`; without one no per-user toolchain is shown.
    pub home: Option<PathBuf>,
    /// The caller's `PATH`.
    pub path: OsString,
    /// The variables that name a toolchain's place (`CARGO_HOME`, ...), as far as they are set.
    pub toolchain_variables: BTreeMap<String, OsString>,
    /// `host.extra_paths` of the user's configuration: absolute, or beginning with `~/`.
    pub extra_paths: Vec<PathBuf>,
    /// The caller's effective user id; root trusts only what belongs to root.
    pub uid: u32,
    /// Where the system directories are taken from: `/`, except in tests.
    pub system_root: PathBuf,
}

impl HostOptions {
    /// From this process's environment and the user's `host.extra_paths`.
    #[must_use]
    pub fn of_this_process(extra_paths: Vec<PathBuf>) -> Self {
        let toolchain_variables = toolchains::variables_read()
            .filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?)))
            .collect();
        Self {
            home: std::env::var_os("HOME").map(PathBuf::from),
            path: std::env::var_os("PATH").unwrap_or_default(),
            toolchain_variables,
            extra_paths,
            uid: rustix::process::geteuid().as_raw(),
            system_root: PathBuf::from("/"),
        }
    }
}

/// What a container shows of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEnvironment {
    /// The read-only lower layer of the root; holds a mount point for every bind.
    pub skeleton: PathBuf,
    /// What goes on top of it, parents before children, masks (empty places of pyro's own) included.
    pub binds: Vec<Bind>,
    /// The variables of every command, sorted by name.
    pub variables: Vec<(String, String)>,
    /// The per-user toolchains that were found.
    pub tools: Vec<HostTool>,
    /// What the person should know: what was left out, and why.
    pub notices: Vec<String>,
    /// The sha256 of the skeleton's content, in hex.
    pub key: String,
}

impl HostEnvironment {
    /// The value of `PATH` inside.
    #[must_use]
    pub fn path(&self) -> &str {
        self.variables.iter().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value)
    }
}

/// One per-user toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTool {
    /// `rustup`, `pyenv`, ...
    pub name: String,
    /// Where it is, inside.
    pub path: PathBuf,
    /// The version it selects, where a small file says so.
    pub version: Option<String>,
}

/// Why the host cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A system directory cannot be looked at.
    #[error("look at the host's {}: {source}", path.display())]
    System {
        /// Which one.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The skeleton cannot be made, or its folder not be used.
    #[error("make the host environment's skeleton at {}: {source}", path.display())]
    Skeleton {
        /// The file or folder of pyro's that was being worked on.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A key that is not one.
    #[error("find the host environment {key:?}: it is no key")]
    Key {
        /// As given.
        key: String,
    },
}

/// Describes the host for a container; makes the skeleton when no earlier call made the same one.
///
/// `home_of_pyro` is the folder for skeletons (`<home>/environments/host`); made when missing.
pub fn describe(options: &HostOptions, home_of_pyro: &Path) -> Result<HostEnvironment, HostError> {
    let mut layout = layout::Layout::default();
    let home = home::find(options, &mut layout);
    system::add(&mut layout, &options.system_root)?;
    made_files::add(&mut layout, &home);
    let fence = fence::Fence::new(&home, home_of_pyro);
    toolchains::add(&mut layout, options, &home, &fence);
    extra::add(&mut layout, options, &home, &fence);
    layout.place_mount_points();

    let path = path::inside(options, &layout);
    let key = skeleton::key_of(&layout.nodes);
    let skeleton = skeleton::ensure(home_of_pyro, &key, &layout.nodes)?;
    let binds = layout.all_binds(&skeleton);
    layout.variables.insert("HOME".to_owned(), home.inside_text());
    layout.variables.insert("PATH".to_owned(), path);
    Ok(HostEnvironment {
        skeleton: skeleton.root(),
        binds,
        variables: layout.variables.into_iter().collect(),
        tools: layout.tools,
        notices: layout.notices,
        key,
    })
}
