//! Tells a client that cancels a call (its command ends) from one whose session or connection is
//! gone (its command goes on): the protocol's layer stops the call in the same way for both.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rmcp::model::RequestId;
use tokio::{sync::Notify, time::timeout};

/// Cancels that are remembered: those whose call was over are never asked for.
const REMEMBERED: usize = 256;
/// The word of a cancel comes right after the stop itself.
const SOON: Duration = Duration::from_millis(200);

/// The calls that one client cancelled.
#[derive(Debug, Default)]
pub(crate) struct Cancelled {
    ids: Mutex<VecDeque<RequestId>>,
    heard: Notify,
}

impl Cancelled {
    /// The client said so.
    pub(crate) fn note(&self, id: RequestId) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() == REMEMBERED {
            ids.pop_front();
        }
        ids.push_back(id);
        drop(ids);
        self.heard.notify_waiters();
    }

    /// Whether the client cancelled this call, which was stopped just now.
    pub(crate) async fn says(&self, id: &RequestId) -> bool {
        let said = async {
            loop {
                let heard = self.heard.notified();
                if self.take(id) {
                    return;
                }
                heard.await;
            }
        };
        timeout(SOON, said).await.is_ok()
    }

    fn take(&self, id: &RequestId) -> bool {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let at = ids.iter().position(|known| known == id);
        at.and_then(|at| ids.remove(at)).is_some()
    }
}
