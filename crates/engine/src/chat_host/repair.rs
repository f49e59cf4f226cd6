//! `host_repair`: see `pyro_chat_hosts`, which does it.

use pyro_operations::{
    Failure,
    chat_host::{HostRepair, HostRepaired},
};

use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<HostRepair> for Engine {
    fn handle(&self, request: HostRepair, context: &Context) -> Result<HostRepaired, Failure> {
        let here = self.chat_host_surroundings(context)?;
        pyro_chat_hosts::repair(&here, &request).or_fail()
    }
}
