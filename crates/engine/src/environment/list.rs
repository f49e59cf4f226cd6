//! `environment_list`.

use pyro_operations::{
    Failure,
    environment::{EnvironmentList, EnvironmentListed},
};

use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<EnvironmentList> for Engine {
    fn handle(&self, _: EnvironmentList, _: &Context) -> Result<EnvironmentListed, Failure> {
        let rows: Vec<_> = self
            .environments()?
            .list()
            .or_fail()?
            .into_iter()
            .map(|status| self.row(status))
            .collect::<Result<_, _>>()?;
        let installed = rows.iter().filter(|row| row.installed).count();
        Ok(EnvironmentListed {
            verdict: format!("{installed} of {} environments are installed", rows.len()),
            environments: rows,
        })
    }
}
