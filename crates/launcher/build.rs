//! Builds the agent as a static program and hands it to the crate as bytes with their hash, so
//! that `pyro` is one file to copy and `cargo build` or `cargo install` need no step before.
//!
//! The nested build has a target folder of its own (the outer one is locked) and none of the outer
//! build's flags. All profiles, tests and lints of the outer build share that folder, so that the
//! agent is built once for all of them; each keeps a copy of the program it was made with.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

/// What the agent is made of, below `crates/`.
const SOURCES: [&str; 4] = ["guest", "protocol", "model", "sys"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    println!("cargo::rerun-if-changed=build.rs");
    // The manifest has the agent's profile.
    for file in ["Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    for source in SOURCES {
        for part in ["src", "Cargo.toml"] {
            println!(
                "cargo::rerun-if-changed={}",
                root.join("crates").join(source).join(part).display()
            );
        }
    }
    let target = env::var("TARGET")?;
    // `OUT_DIR` is `<target>/<triple>/<profile>/build/<unit>/out`.
    let folder = out.ancestors().nth(4).unwrap_or(&out).join("guest-build");
    build(&root, &target, &folder)?;
    let bytes = fs::read(folder.join(&target).join("guest/pyro-guest"))?;
    let program = out.join("pyro-guest");
    fs::write(&program, &bytes)?;
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=PYRO_GUEST_FILE={}", program.display());
    println!("cargo::rustc-env=PYRO_GUEST_SHA256={hash}");
    Ok(())
}

fn build(root: &Path, target: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let outer = name.starts_with("CARGO_") && !name.starts_with("CARGO_HOME")
            || name.starts_with("RUSTC")
            || name.starts_with("CLIPPY")
            || matches!(&*name, "RUSTFLAGS" | "TARGET" | "PROFILE" | "OUT_DIR" | "NUM_JOBS");
        if outer {
            cargo.env_remove(name);
        }
    }
    let built = cargo
        .current_dir(root)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .args(["build", "--package", "pyro-guest", "--bin", "pyro-guest"])
        .args(["--profile", "guest", "--target", target, "--target-dir"])
        .arg(folder)
        .status()?;
    if !built.success() {
        return Err(format!("the build of the agent ended with {built}").into());
    }
    Ok(())
}
