//! `environment_pull`.

use std::time::Instant;

use pyro_environment::{InstalledFrom, Outcome, PullOptions, Pulled};
use pyro_operations::{
    Failure,
    environment::{EnvironmentPull, EnvironmentReply},
};

use crate::{Context, Engine, Handle, failure::OrFail, host::milliseconds};

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
        let mut reply = self.pulled(&pulled, began)?;
        let of_debian =
            matches!(pulled.installed.manifest.source, InstalledFrom::DebianBootstrap { .. });
        if of_debian || request.kernel.is_some() {
            let got = self.kernel_too(request.kernel.as_deref(), request.force, context)?;
            reply.pulled |= got.pulled;
            reply.kernel = got.kernel;
            reply.notices.extend(got.notices);
            reply.duration_ms = Some(milliseconds(began));
        }
        Ok(reply)
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
            kernel: None,
            duration_ms: Some(milliseconds(began)),
            notices: Vec::new(),
        })
    }
}
