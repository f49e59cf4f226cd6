//! Which version a toolchain selects, as far as a small file says so.
//!
//! Chat hosts hand their servers a bare `PATH`, without what the login shell adds; a toolchain's
//! selected version is then found here and put behind what the caller's `PATH` has.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::place::Place;

/// An alias may name another one, as `default` names `lts/*`, which names `lts/iron`.
const ALIASES_FOLLOWED: usize = 4;

/// The version that is selected when nothing in the project says otherwise.
pub(super) fn selected(tool: &str, place: &Place) -> Option<String> {
    match tool {
        "pyenv" => place.read_small(Path::new("version"))?.lines().next().and_then(word),
        "rustup" => {
            let settings = place.read_small(Path::new("settings.toml"))?;
            settings.lines().find_map(|line| {
                let value =
                    line.strip_prefix("default_toolchain")?.trim_start().strip_prefix('=')?;
                word(value.trim().trim_matches('"'))
            })
        }
        _ => None,
    }
}

/// Directories of programs that depend on what is installed.
pub(super) fn paths(tool: &str, place: &Place, inside: &Path, path: &OsStr) -> Vec<PathBuf> {
    let named_by_caller = std::env::split_paths(path).any(|entry| entry.starts_with(inside));
    match tool {
        "nvm" if !named_by_caller => nvm_default(place)
            .map(|version| inside.join("versions/node").join(version).join("bin"))
            .into_iter()
            .collect(),
        "sdkman" if !named_by_caller => {
            let candidates = place.matching("candidates/*/current").unwrap_or_default();
            candidates.iter().map(|current| inside.join(current).join("bin")).collect()
        }
        _ => Vec::new(),
    }
}

/// The installed version that nvm's default alias stands for.
fn nvm_default(place: &Place) -> Option<String> {
    let mut alias = "default".to_owned();
    for _ in 0..ALIASES_FOLLOWED {
        let text = place.read_small(&Path::new("alias").join(&alias))?;
        let value = word(text.trim())?;
        let wanted = value.strip_prefix('v').unwrap_or(&value);
        let newest = matches!(wanted, "node" | "stable");
        if newest || wanted.starts_with(|first: char| first.is_ascii_digit()) {
            return newest_matching(place, if newest { "" } else { wanted });
        }
        alias = value;
    }
    None
}

fn newest_matching(place: &Place, wanted: &str) -> Option<String> {
    let numbers =
        |text: &str| text.split('.').map(|n| n.parse().ok()).collect::<Option<Vec<u32>>>();
    let wanted = if wanted.is_empty() { Vec::new() } else { numbers(wanted)? };
    let installed = place.matching("versions/node/v*").ok()?;
    let newest = installed
        .iter()
        .filter_map(|path| numbers(path.file_name()?.to_str()?.strip_prefix('v')?))
        .filter(|version| version.starts_with(&wanted))
        .max()?;
    let text: Vec<String> = newest.iter().map(u32::to_string).collect();
    Some(format!("v{}", text.join(".")))
}

/// A short name without anything a path or a terminal would take for more than that.
fn word(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-+/*@".contains(c);
    let text = text.trim();
    let plain = !text.is_empty() && text.len() <= 100 && text.chars().all(fits);
    (plain && !text.starts_with('/') && !text.contains("..")).then(|| text.to_owned())
}
