//! `host_connect`: see `pyro_chat_hosts`, which does it.

use pyro_operations::{
    Failure,
    chat_host::{HostConnect, HostConnected},
};

use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<HostConnect> for Engine {
    fn handle(&self, request: HostConnect, context: &Context) -> Result<HostConnected, Failure> {
        let here = self.chat_host_surroundings(context)?;
        pyro_chat_hosts::connect(&here, &request).or_fail()
    }
}
