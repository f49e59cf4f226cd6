//! `host_connect`: see `pyro_chat_hosts`, which does it. Flags that the server would refuse at its
//! start are refused here: the chat host would only say that it does not come up.

use pyro_operations::{
    Failure,
    chat_host::{HostConnect, HostConnected},
};

use crate::{Context, Engine, Fence, Handle, environment::HOST, failure::OrFail};

impl Handle<HostConnect> for Engine {
    fn handle(&self, request: HostConnect, context: &Context) -> Result<HostConnected, Failure> {
        let fence = Fence::from_flags(&request.server, Some(&context.cwd), self.settings())?;
        let here = self.chat_host_surroundings(context)?;
        let mut connected = pyro_chat_hosts::connect(&here, &request).or_fail()?;
        connected.notices.extend(self.environment_to_come(&fence));
        Ok(connected)
    }
}

impl Engine {
    /// What the first workspace of such a server would lack.
    fn environment_to_come(&self, fence: &Fence) -> Option<String> {
        let configured = self.settings().config.environment.as_deref();
        let configured = configured.filter(|name| fence.allows_environment(name));
        let pinned = fence.environment.as_deref();
        let name = pinned.or(configured).or(fence.recommended_environment)?;
        if name == HOST {
            return None;
        }
        let lacking = self.environments().ok()?.resolve(&name.parse().ok()?).is_err();
        lacking.then(|| {
            format!("its workspaces begin in environment `{name}`, which is not there yet: run `pyro env pull {name}`")
        })
    }
}
