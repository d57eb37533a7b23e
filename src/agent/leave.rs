//! The last thing that an agent does on a host that it will not come back to.

use std::fs;
use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::agent::failure::sentence;
use crate::agent::tasks::Hands;
use crate::agent::{Agent, AgentError};

impl Agent {
    /// Removes what is there for all tasks together: the networks for tasks to come, the control groups and the
    /// directory of the shims' sockets. There must be no task left.
    pub async fn leave(&self) -> Result<(), AgentError> {
        let hands = Arc::clone(&self.hands);
        spawn_blocking(move || leave(&hands)).await.map_err(|_| AgentError::Broken)?
    }
}

fn leave(hands: &Hands) -> Result<(), AgentError> {
    hands.networks.drain().map_err(AgentError::Network)?;
    let group = &hands.config.cgroup_parent;
    hands
        .groups
        .leave()
        .map_err(|why| AgentError::Orphan { what: format!("control group {group}"), why: sentence(&why) })?;
    let path = hands.places.sockets();
    match fs::remove_dir(&path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => {
            Err(AgentError::Orphan { what: path.display().to_string(), why: err.to_string() })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
