//! `environment_import`.

use std::time::Instant;

use pyro_environment::ImportSource;
use pyro_operations::{
    Code, Failure,
    environment::{EnvironmentImport, EnvironmentReply},
};

use crate::{
    Context, Engine, Handle,
    failure::{OrFail, host_file},
};

impl Handle<EnvironmentImport> for Engine {
    fn handle(
        &self,
        request: EnvironmentImport,
        context: &Context,
    ) -> Result<EnvironmentReply, Failure> {
        let name = request.environment.parse().or_fail()?;
        let began = Instant::now();
        let path = context.cwd.join(&request.path);
        let facts = std::fs::metadata(&path).map_err(|error| host_file("read", &path, &error))?;
        let source = if facts.is_dir() {
            ImportSource::OciLayout(path)
        } else if facts.is_file() {
            ImportSource::RootfsTarball(path)
        } else {
            return Err(Failure::new(
                Code::InvalidArgument,
                format!(
                    "path: {} is neither a tar file nor an OCI image layout directory",
                    path.display()
                ),
            ));
        };
        let pulled = self
            .environments()?
            .import(&name, &source, &mut |progress| context.say(progress.detail, progress.percent))
            .or_fail()?;
        self.sweep();
        self.pulled(&pulled, began)
    }
}
