//! What the task's containers ask about themselves.

use std::net::TcpListener;

use super::Supervisor;
use crate::{model::fact::Seen, shim::metadata::Endpoint};

impl Supervisor {
    /// Opens the endpoint of a task that has one. A task whose endpoint cannot be opened runs without.
    pub(super) fn open_endpoint(&mut self, door: Option<TcpListener>) {
        let Some(file) = &self.spec.metadata else { return };
        match Endpoint::open(file, &self.spec, (self.shared.network.as_ref(), door), &self.poll) {
            Ok(endpoint) => self.endpoint = Some(endpoint),
            Err(error) => {
                self.see(Seen::NotEnforced { what: format!("the task's metadata endpoint: {error}") });
            }
        }
    }

    /// Answers whoever asked.
    pub(super) fn answer(&mut self) {
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.serve(&self.spec, &self.containers, &self.poll);
        }
    }
}
