//! `environment_inspect`.

use pyro_environment::{
    EnvironmentState,
    tools::{Tool, ToolRoot},
};
use pyro_operations::{
    Code, Failure,
    environment::{EnvironmentInspect, EnvironmentReply},
};

use super::choose::HOST;
use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<EnvironmentInspect> for Engine {
    fn handle(
        &self,
        request: EnvironmentInspect,
        context: &Context,
    ) -> Result<EnvironmentReply, Failure> {
        let name = request.environment.parse().or_fail()?;
        if request.verify {
            context.say("reading every file", None);
        }
        let status = self.environments()?.inspect(&name, request.verify).or_fail()?;
        let damaged = matches!(status.state, EnvironmentState::Damaged { .. });
        let files = match &status.state {
            EnvironmentState::Installed { manifest } => Some(manifest.files),
            _ => None,
        };
        let row = self.row(status)?;
        if damaged {
            return Err(Failure::new(
                Code::EnvironmentDamaged,
                format!("environment `{name}` is {}", row.about),
            )
            .hint(format!("run `pyro env pull {name}`"))
            .detail("kind", "environment"));
        }
        let (mut host_path, mut tools) = (None, Vec::new());
        if row.installed && row.environment == HOST {
            let chosen = self.host_environment()?;
            tools = chosen.tools();
        } else if row.installed {
            let installed = self.environments()?.resolve(&name).or_fail()?;
            let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
            let root = ToolRoot::Rootfs { name: name.as_str(), root: &installed.rootfs, path };
            tools = Tool::ALL
                .iter()
                .filter(|tool| root.has(**tool))
                .map(|t| t.name().to_owned())
                .collect();
            host_path = Some(installed.rootfs.display().to_string());
        }
        let verdict = match (row.installed, request.verify) {
            (false, _) => format!("{name} is not installed; `pyro env pull {name}` gets it"),
            (true, true) => format!("{name} is installed; every file is as it was installed"),
            (true, false) => format!("{name} is installed"),
        };
        Ok(EnvironmentReply {
            verdict,
            row,
            host_path,
            files,
            tools,
            pulled: false,
            kernel: None,
            duration_ms: None,
            notices: Vec::new(),
        })
    }
}
