//! Protection: work in a task that scaling in and deployments must not cut short.

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

/// Keeps a service from stopping a task when it scales in or deploys, until it expires.
///
/// It does not keep anybody from stopping the task by name, nor the task from failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protection {
    /// Until when.
    pub expires_at: Timestamp,
}

impl Protection {
    /// Whether it still holds at `now`.
    #[must_use]
    pub fn holds(self, now: Timestamp) -> bool {
        now < self.expires_at
    }
}
