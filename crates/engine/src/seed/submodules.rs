//! The working files of submodules, which come along as plain files.
//!
//! Each submodule is listed through a sanitized git directory of its own, never by letting git
//! descend: a submodule's config is as untrusted as any. Depth and number are bounded.

use super::SeedError;
use super::beneath::{Kind, Rooted, child};
use super::facts::SeedOptions;
use super::git_dir::{Located, locate};
use super::host_git::HostGit;
use super::refs::Refs;
use super::repo_config::RepoConfig;
use super::sanitized::Sanitized;

const DEPTH_MOST: usize = 5;

/// The files of the submodule at `path`, from the outer root; or why there are none (`None` when
/// it is simply not checked out).
pub(crate) fn files(
    work: &Rooted,
    path: &[u8],
    git: &HostGit,
    options: &SeedOptions,
) -> Result<Result<Vec<Vec<u8>>, Option<String>>, SeedError> {
    descend(work, path, git, options, 0)
}

fn descend(
    work: &Rooted,
    path: &[u8],
    git: &HostGit,
    options: &SeedOptions,
    depth: usize,
) -> Result<Result<Vec<Vec<u8>>, Option<String>>, SeedError> {
    if depth >= DEPTH_MOST {
        return Ok(Err(Some("submodules are nested too deeply".into())));
    }
    let opened = work.directory(path).map_err(|error| SeedError::source(&work.join(path), error));
    let Some(inner) = opened? else { return Ok(Err(None)) };
    let dirs = match locate(&inner, git)? {
        Located::Nothing => return Ok(Err(None)),
        Located::Refused(why) => return Ok(Err(Some(format!("a submodule left out: {why}")))),
        Located::Git(dirs) => dirs,
    };
    let config = RepoConfig::read(git, dirs.common(), Some(&dirs.own))?;
    let refs = Refs::read(&dirs)?;
    let name = format!("submodule-{}-{depth}", super::locks::random_name()?);
    let excludes = options.user_ignore_file.as_deref();
    let sanitized = Sanitized::make(git, &name, &inner, &dirs, &refs, &config, excludes)?;
    let mut all = Vec::new();
    for file in sanitized.files()? {
        // An untracked repository inside ends with a slash and stays out, as it does outside.
        if file.ends_with(b"/") {
            continue;
        }
        let from_outside = child(path, &file);
        if matches!(inner.kind(&file), Ok(Some(Kind::Directory))) {
            if let Ok(nested) = descend(work, &from_outside, git, options, depth + 1)? {
                all.extend(nested);
            }
        } else {
            all.push(from_outside);
        }
        if all.len() as u64 > options.limits.files {
            let limit = format!("{} files", options.limits.files);
            return Err(SeedError::TooLarge { what: work.join(path).display().to_string(), limit });
        }
    }
    Ok(Ok(all))
}
