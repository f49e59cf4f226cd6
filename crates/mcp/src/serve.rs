//! The life of a server: from the first line of standard input to its end.
//!
//! At the end of input, calls that are about to answer may do so; then every wait is given up,
//! with the engine told that the caller went away, so that commands go on. All within 200 ms.

use std::{path::PathBuf, time::Duration};

use pyro_engine::{Fence, Settings};
use pyro_operations::{Code, Failure, Toolset};
use rmcp::{ServiceExt, transport::io::stdio_pipes};
use tokio::{sync::watch, time::timeout};

use crate::{
    end_of_input::EndOfInput,
    legible::Legible,
    server::{Server, Shared},
};

/// Calls that finish this soon after the end of input still answer by themselves.
const FINISHING: Duration = Duration::from_millis(100);
/// What giving up every wait may take.
const GIVING_UP: Duration = Duration::from_millis(70);

/// What a server serves.
#[derive(Debug)]
pub struct Serving {
    /// The home and the configuration.
    pub settings: Settings,
    /// The user's ceiling.
    pub fence: Fence,
    /// Which tools it shows.
    pub tools: Toolset,
    /// Where relative host paths begin.
    pub cwd: PathBuf,
}

/// Serves one client over standard input and output, until its input ends.
///
/// # Errors
/// `host_unfit`, when no event loop can be had.
pub fn serve(serving: Serving) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            Failure::new(Code::HostUnfit, format!("start the server's event loop: {error}"))
        })?;
    runtime.block_on(run(serving));
    // Threads that still do something are left to the end of the process: they are at a step that
    // the next call finishes.
    runtime.shutdown_background();
    Ok(())
}

async fn run(serving: Serving) {
    let (leave, leaving) = watch::channel(false);
    let server = Server::new(Shared::new(serving), leaving);
    let (reader, writer) = stdio_pipes();
    let (reader, mut ended) = EndOfInput::new(reader);
    // Input that ends, or is no MCP, before the first request: there is nobody to answer.
    let Ok(service) = server.serve((Legible::new(reader), writer)).await else { return };
    let mut over = std::pin::pin!(service.waiting());
    tokio::select! {
        _ = &mut over => return,
        _ = ended.wait_for(|ended| *ended) => {}
    }
    if timeout(FINISHING, &mut over).await.is_ok() {
        return;
    }
    leave.send_replace(true);
    let _ = timeout(GIVING_UP, &mut over).await;
}
