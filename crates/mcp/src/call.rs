//! One tool call: the engine on a thread of its own; meanwhile progress goes out and a cancel
//! comes in.
//!
//! The engine hears the difference between a client that cancels (its command ends) and a client
//! that went away (its command goes on).

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use pyro_engine::{Context, Progress};
use pyro_operations::{Code, Failure};
use rmcp::{
    RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::{Peer, RequestContext},
};
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval_at},
};

use crate::cancelled::Cancelled;

/// How often a client that asked for progress hears that the call lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Steps that may wait to be sent; more are left out.
const STEPS: usize = 32;

/// Runs `work` with a context that carries progress and cancel of this request.
pub(crate) async fn run<W>(
    mut context: Context,
    request: &RequestContext<RoleServer>,
    mut leaving: watch::Receiver<bool>,
    cancelled: &Cancelled,
    work: W,
) -> Result<Value, Failure>
where
    W: FnOnce(&Context) -> Result<Value, Failure> + Send + 'static,
{
    let cancel = context.cancel.clone();
    let caller_gone = context.caller_gone.clone();
    let (steps, mut heard) = mpsc::channel::<Progress>(STEPS);
    let mut listener = request.meta.get_progress_token().map(|token| {
        context.progress = Some(Arc::new(move |step: &Progress| {
            // A slow client misses steps rather than holding up the work.
            let _ = steps.try_send(step.clone());
        }));
        Listener::new(request.peer.clone(), token)
    });
    let mut heartbeat = interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut work = spawn_blocking(move || work(&context));
    let mut stopped = false;
    loop {
        tokio::select! {
            biased;
            // Steps before the end, so that a quick call's are told as well.
            Some(step) = heard.recv(), if listener.is_some() => {
                if let Some(listener) = &mut listener {
                    listener.tell(step.message, step.percent).await;
                }
            }
            () = request.ct.cancelled(), if !stopped => {
                stopped = true;
                // Not the client's word: its session or connection is gone.
                if !cancelled.says(&request.id).await {
                    caller_gone.store(true, Ordering::SeqCst);
                }
                cancel.cancel();
            }
            () = became_true(&mut leaving), if !stopped => {
                stopped = true;
                caller_gone.store(true, Ordering::SeqCst);
                cancel.cancel();
            }
            done = &mut work => {
                return done.unwrap_or_else(|_| {
                    Err(Failure::new(Code::Internal, "the call broke off inside pyro"))
                });
            }
            _ = heartbeat.tick(), if listener.is_some() => {
                if let Some(listener) = &mut listener {
                    let message = format!("still at it after {} s", listener.since.elapsed().as_secs());
                    listener.tell(message, None).await;
                }
            }
        }
    }
}

async fn became_true(flag: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server does.
    let _ = flag.wait_for(|set| *set).await;
}

/// A client that asked for progress.
struct Listener {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    told: u32,
    since: Instant,
}

impl Listener {
    fn new(peer: Peer<RoleServer>, token: ProgressToken) -> Self {
        Self { peer, token, told: 0, since: Instant::now() }
    }

    /// The number only ever grows, as the protocol wants; how far the work is stands in the text.
    async fn tell(&mut self, message: String, percent: Option<u8>) {
        self.told += 1;
        let message = match percent {
            Some(percent) => format!("{message} ({percent}%)"),
            None => message,
        };
        let progress = ProgressNotificationParam::new(self.token.clone(), f64::from(self.told))
            .with_message(message);
        // A client that is gone is noticed at the end of its input.
        let _ = self.peer.notify_progress(progress).await;
    }
}
