//! `environment_pull`.

use std::time::Instant;

use pyro_environment::{Outcome, PullOptions, Pulled};
use pyro_operations::{
    Failure,
    environment::{EnvironmentPull, EnvironmentReply},
};

use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<EnvironmentPull> for Engine {
    fn handle(
        &self,
        request: EnvironmentPull,
        context: &Context,
    ) -> Result<EnvironmentReply, Failure> {
        let name = request.environment.parse().or_fail()?;
        let began = Instant::now();
        let options = PullOptions {
            debian_mirror: self.settings().config.debian_mirror.clone(),
            force: request.force,
            no_wait: false,
        };
        let pulled = self
            .environments()?
            .pull(&name, &options, &mut |progress| context.say(progress.detail, progress.percent))
            .or_fail()?;
        self.sweep();
        self.pulled(&pulled, began)
    }
}

impl Engine {
    /// The reply to whatever installed an environment.
    pub(super) fn pulled(
        &self,
        pulled: &Pulled,
        began: Instant,
    ) -> Result<EnvironmentReply, Failure> {
        let name = &pulled.installed.manifest.name;
        let status = self.environments()?.inspect(name, false).or_fail()?;
        let row = self.row(status)?;
        let verdict = match pulled.outcome {
            Outcome::Installed => format!("installed {name}"),
            Outcome::AlreadyInstalled => format!("{name} is installed and whole"),
            Outcome::Repaired => format!("repaired {name}"),
            Outcome::Replaced => {
                format!("installed {name} anew; `pyro env prune` removes the old one")
            }
        };
        Ok(EnvironmentReply {
            verdict,
            row,
            host_path: Some(pulled.installed.rootfs.display().to_string()),
            files: Some(pulled.installed.manifest.files),
            tools: Vec::new(),
            pulled: pulled.outcome != Outcome::AlreadyInstalled,
            duration_ms: Some(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)),
            notices: Vec::new(),
        })
    }
}
