//! What replies show of an environment.

use pyro_environment::{EnvironmentState, EnvironmentStatus, InstalledFrom};
use pyro_operations::{Failure, environment::EnvironmentRow};

use super::choose::HOST;
use crate::{Engine, failure::OrFail};

impl Engine {
    /// One row.
    pub(super) fn row(&self, status: EnvironmentStatus) -> Result<EnvironmentRow, Failure> {
        let default = self.settings().config.environment.as_deref().unwrap_or(HOST);
        let name = status.name.to_string();
        let mut row = EnvironmentRow {
            default: name == default,
            environment: name,
            about: status.summary.unwrap_or_default(),
            installed: false,
            bytes: None,
            digest: None,
            source: None,
            installed_at: None,
            used_by: None,
        };
        match status.state {
            EnvironmentState::Host => row.installed = true,
            EnvironmentState::NotInstalled => {}
            EnvironmentState::Damaged { what } => {
                row.about = format!("damaged ({what}): run `pyro env pull {}`", row.environment);
            }
            EnvironmentState::Installed { manifest } => {
                row.installed = true;
                row.bytes = Some(manifest.bytes);
                row.installed_at = Some(manifest.created_at);
                row.source = Some(source(&manifest.source));
                let digest = manifest.digest.as_str().to_owned();
                let users = self.store().all().or_fail()?;
                let count = users
                    .iter()
                    .filter(|r| r.environment_digest.as_deref() == Some(&digest))
                    .count();
                row.used_by = Some(count as u64);
                row.digest = Some(digest);
                if row.about.is_empty() {
                    row.about = "imported".to_owned();
                }
            }
        }
        Ok(row)
    }
}

fn source(from: &InstalledFrom) -> String {
    match from {
        InstalledFrom::DebianBootstrap { mirror, suite, .. } => {
            format!("Debian bootstrap of {suite} from {mirror}")
        }
        InstalledFrom::RootfsTarball { path } => format!("tarball {path}"),
        InstalledFrom::OciLayout { path, image_digest } => {
            format!("OCI layout {path}, image {image_digest}")
        }
    }
}
