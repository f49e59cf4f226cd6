//! Chat hosts: what their configuration should hold for this pyro and this home.

mod connect;
mod disconnect;
mod doctor;
mod print_config;
mod repair;

use pyro_chat_hosts::Surroundings;
use pyro_operations::Failure;

use crate::{Context, Engine, failure::OrFail};

impl Engine {
    /// What the chat hosts are to be told of this process.
    fn chat_host_surroundings(&self, context: &Context) -> Result<Surroundings, Failure> {
        let settings = self.settings();
        Surroundings::of_this_process(
            &context.cwd,
            &settings.home,
            settings.config_file.as_deref(),
            self.layout().chat_hosts(),
        )
        .or_fail()
    }
}
