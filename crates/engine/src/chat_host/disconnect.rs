//! `host_disconnect`: see `pyro_chat_hosts`, which does it.

use pyro_operations::{
    Failure,
    chat_host::{HostDisconnect, HostDisconnected},
};

use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<HostDisconnect> for Engine {
    fn handle(
        &self,
        request: HostDisconnect,
        context: &Context,
    ) -> Result<HostDisconnected, Failure> {
        let here = self.chat_host_surroundings(context)?;
        pyro_chat_hosts::disconnect(&here, &request).or_fail()
    }
}
