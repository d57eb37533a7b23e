//! The doors of the API: made before anything is begun that a wrong one would make useless, opened last.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::watch, task::JoinHandle};
use tracing::warn;

use super::{
    config::{ApiConfig, Signed},
    failure::DaemonError,
};
use crate::api::{self, Access, Api, Guard, Keys, Listener, Tls};

/// The sockets, where nobody is answered yet.
pub(super) async fn listen(api: &ApiConfig) -> Result<Vec<Listener>, DaemonError> {
    let mut listeners = Vec::new();
    if let Some(address) = api.listen {
        let guard = match &api.signed {
            Signed::No => Guard::Loopback,
            Signed::With(path) => Guard::Keys(Arc::new(Keys::load(path)?)),
        };
        let tls = api.tls.as_ref().map(|(chain, key)| Tls::load(chain, key)).transpose()?;
        if tls.is_none() && !address.ip().is_loopback() {
            warn!(%address, "served without TLS: others on the way can read requests and answers");
        }
        listeners.push(Listener::tcp(address, guard, tls).await?);
    }
    // Last, as a socket is a file that a start that fails would leave.
    let access = Access { uids: api.allowed_uids.clone(), gid: api.group };
    listeners.push(Listener::unix(&api.socket, access)?);
    Ok(listeners)
}

/// Answers at each until `stopped` says true.
pub(super) fn serve(
    callers: &Handle,
    listeners: Vec<Listener>,
    api: &Arc<Api>,
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let serve_one = |listener| {
        let mut stopped = stopped.clone();
        let stop = async move {
            let _ = stopped.wait_for(|&is_stopped| is_stopped).await;
        };
        callers.spawn(api::serve(listener, Arc::clone(api), stop))
    };
    listeners.into_iter().map(serve_one).collect()
}
