//! What the numbers were measured on.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::program::Program;

/// Facts of this computer and of what is compared.
pub(crate) fn facts(cache: &Path) -> Value {
    let name = rustix::system::uname();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let said = |words: &[&str]| {
        let said = Program::new(words.iter().copied()).output().unwrap_or_default();
        said.lines().next().unwrap_or("absent").to_owned()
    };
    json!({
        "kernel": name.release().to_string_lossy(),
        "cpu": cpu(),
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "memory_mib": memory_mib(),
        "file_system": said(&["stat", "-f", "-c", "%T", &cache.to_string_lossy()]),
        "load": load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        "user": rustix::process::geteuid().as_raw(),
        "bwrap": said(&["bwrap", "--version"]),
        "podman": said(&["podman", "--version"]),
        "runc": said(&["runc", "--version"]),
        "git": said(&["git", "--version"]),
    })
}

/// The facts in a few lines.
pub(crate) fn lines(facts: &Value) -> String {
    let text = |key: &str| match &facts[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!(
        "kernel {}, {} cores ({}), {} MiB, {} below the cache, load {}, user {}\n{}, {}, {}, {}\n",
        text("kernel"),
        text("cores"),
        text("cpu"),
        text("memory_mib"),
        text("file_system"),
        text("load"),
        text("user"),
        text("bwrap"),
        text("podman"),
        text("runc"),
        text("git"),
    )
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("model name"));
    named.map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':'])).to_owned()
}

fn memory_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    kib.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
