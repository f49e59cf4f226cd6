//! `host_print_config`: see `pyro_chat_hosts`, which does it.

use pyro_operations::{
    Failure,
    chat_host::{HostConfig, HostPrintConfig},
};

use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<HostPrintConfig> for Engine {
    fn handle(&self, request: HostPrintConfig, context: &Context) -> Result<HostConfig, Failure> {
        let here = self.chat_host_surroundings(context)?;
        pyro_chat_hosts::print_config(&here, &request).or_fail()
    }
}
