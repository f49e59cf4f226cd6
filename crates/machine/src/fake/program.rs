//! The agent program that belongs to the tests that are running.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// Builds `pyro-guest` (a moment, when it is fresh) beside the test program that asks, and says
/// where it is. `PYRO_GUEST` names another one.
///
/// # Errors
/// It is not run below a `target` directory, or the build fails.
pub fn agent_program() -> io::Result<PathBuf> {
    if let Some(program) = std::env::var_os("PYRO_GUEST") {
        return Ok(program.into());
    }
    let unsuitable = || io::Error::other("not a test program that cargo has built");
    let own = std::env::current_exe()?;
    // TARGET/TUPLE/PROFILE/deps/NAME
    let profile = own.ancestors().nth(2).ok_or_else(unsuitable)?;
    let target = profile.ancestors().nth(2).ok_or_else(unsuitable)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/Cargo.toml");
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "pyro-guest", "--bin", "pyro-guest"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .status()?;
    if !status.success() {
        return Err(io::Error::other("pyro-guest does not build"));
    }
    Ok(profile.join("pyro-guest"))
}
