//! `environment_list`.

use pyro_operations::{
    Failure,
    environment::{EnvironmentList, EnvironmentListed},
};

use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<EnvironmentList> for Engine {
    fn handle(&self, _: EnvironmentList, context: &Context) -> Result<EnvironmentListed, Failure> {
        // A model sees those that it may have.
        let allowed =
            |name: &str| context.fence().is_none_or(|fence| fence.allows_environment(name));
        let rows: Vec<_> = self
            .environments()?
            .list()
            .or_fail()?
            .into_iter()
            .filter(|status| allowed(&status.name.to_string()))
            .map(|status| self.row(status))
            .collect::<Result<_, _>>()?;
        let installed = rows.iter().filter(|row| row.installed).count();
        Ok(EnvironmentListed {
            verdict: format!("{installed} of {} environments are installed", rows.len()),
            environments: rows,
        })
    }
}
