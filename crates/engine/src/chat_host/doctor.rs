//! `host_doctor`: see `pyro_chat_hosts`, which does it.

use pyro_operations::{
    Failure,
    chat_host::{HostDoctor, HostDoctorReport},
};

use crate::{Context, Engine, Handle, failure::OrFail};

impl Handle<HostDoctor> for Engine {
    fn handle(&self, request: HostDoctor, context: &Context) -> Result<HostDoctorReport, Failure> {
        let here = self.chat_host_surroundings(context)?;
        pyro_chat_hosts::doctor(&here, &request).or_fail()
    }
}
