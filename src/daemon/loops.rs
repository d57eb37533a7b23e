//! What keeps a daemon running, and what ends it: its loops, and the signals that tell it to stop.

use std::future::Future;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tracing::{error, info};

use super::failure::DaemonError;

/// Waits for the signal, or for a loop that ends and should not.
pub(super) async fn until_told(told: &mut Told, loops: &mut Loops) -> Result<(), DaemonError> {
    tokio::select! {
        name = told.stop() => {
            info!(signal = name, "stopping; tasks go on");
            Ok(())
        }
        name = loops.ended() => Err(DaemonError::LoopEnded(name)),
    }
}

/// The signals that tell the daemon to stop.
pub(super) struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    pub(super) fn listen() -> Result<Self, DaemonError> {
        let heed = |kind| signal(kind).map_err(|source| DaemonError::System { what: "heed signals", source });
        Ok(Self { terminate: heed(SignalKind::terminate())?, interrupt: heed(SignalKind::interrupt())? })
    }

    async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The loops that a daemon cannot do without.
#[derive(Default)]
pub(super) struct Loops {
    running: JoinSet<&'static str>,
}

impl Loops {
    pub(super) fn add(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            work.await;
            name
        });
    }

    async fn ended(&mut self) -> &'static str {
        match self.running.join_next().await {
            Some(Ok(name)) => name,
            Some(Err(panicked)) => {
                error!(error = %panicked, "loop broken");
                "broken"
            }
            None => "last",
        }
    }
}
