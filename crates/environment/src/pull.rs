//! Pulling a curated environment: its sources in order, the first that works.

use crate::bootstrap::Bootstrap;
use crate::cache::{Building, Built, Cache, Pulled, Rebuild, Wish};
use crate::catalog::{self, Source};
use crate::error::{EnvironmentError, Result};
use crate::name::EnvironmentName;
use crate::progress::ProgressSink;

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The Debian mirror to use, instead of the one that the host's apt uses.
    pub debian_mirror: Option<String>,
    /// Build anew even if it is installed and whole.
    pub force: bool,
    /// Fail as busy instead of waiting for another call that pulls the same.
    pub no_wait: bool,
}

impl Cache {
    /// Makes sure that the curated environment `name` is installed and whole (it is read whole
    /// for that), repairing or building it where it is not.
    pub fn pull(
        &self,
        name: &EnvironmentName,
        options: &PullOptions,
        progress: &mut ProgressSink<'_>,
    ) -> Result<Pulled> {
        let Some(entry) = catalog::find(name) else {
            return self.check_imported(name, progress);
        };
        if entry.name == catalog::HOST {
            let why = "it is this machine itself, there is nothing to pull";
            return Err(EnvironmentError::NotForThis { act: "pull", name: name.to_string(), why });
        }
        let rebuild = if options.force { Rebuild::UnlessJustBuilt } else { Rebuild::Never };
        let wish = Wish { rebuild, wait: !options.no_wait };
        self.install(name, wish, progress, &mut |building, progress| {
            first_that_works(name, entry.sources, options, building, progress)
        })
    }

    /// An imported environment has no source to pull from again; that it is whole can be said.
    fn check_imported(
        &self,
        name: &EnvironmentName,
        progress: &mut ProgressSink<'_>,
    ) -> Result<Pulled> {
        use crate::cache::Outcome;
        use crate::progress::{Progress, Stage};
        progress(Progress::at(Stage::Verifying, format!("checking {name}")));
        let installed = self.verify(name, true)?;
        Ok(Pulled { outcome: Outcome::AlreadyInstalled, installed })
    }
}

fn first_that_works(
    name: &EnvironmentName,
    sources: &[Source],
    options: &PullOptions,
    building: &Building<'_>,
    progress: &mut ProgressSink<'_>,
) -> Result<Built> {
    let mut last = EnvironmentError::NotInstalled { name: name.to_string() };
    for source in sources {
        let tried = match *source {
            Source::DebianBootstrap { suite, packages } => {
                let mirror = options.debian_mirror.as_deref();
                Bootstrap { name, suite, packages, mirror }.run(building, progress)
            }
        };
        match tried {
            Ok(built) => {
                building.keep_only_rootfs()?;
                return Ok(built);
            }
            // With a second kind of source: empty the build directory here before trying it.
            Err(e) => last = e,
        }
    }
    Err(last)
}
