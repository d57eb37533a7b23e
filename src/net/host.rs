//! The host's own settings that a network of tasks needs.
//!
//! Settings of the instance's own bridge are simply made; settings of the whole host are reported as a [`Change`].

use std::fmt;
use std::fs;

use super::NetError;
use crate::model::network::LinkName;

/// A setting of the host that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The setting, as `sysctl` names it.
    pub setting: &'static str,
    /// What it was.
    pub before: String,
    /// What it is now.
    pub after: &'static str,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} changed from {} to {}", self.setting, self.before, self.after)
    }
}

/// Lets the host pass packets on between interfaces.
pub(super) fn enable_forwarding() -> Result<Option<Change>, NetError> {
    let before = set("/proc/sys/net/ipv4/ip_forward", "1")?;
    Ok(before.map(|before| Change { setting: "net.ipv4.ip_forward", before, after: "1" }))
}

/// Lets answers to connections from 127.0.0.1 come back from the tasks.
///
/// The firewall's guard chain keeps tasks from reaching the host's loopback by the same door.
pub(super) fn route_loopback(bridge: &LinkName) -> Result<(), NetError> {
    set(&format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet"), "1").map(drop)
}

/// Makes a setting and returns what it was, or nothing when it was so already.
fn set(path: &str, value: &'static str) -> Result<Option<String>, NetError> {
    let failed = |source| NetError::Setting { path: path.to_owned(), value, source };
    let before = fs::read_to_string(path).map_err(failed)?;
    let before = before.trim();
    if before == value {
        return Ok(None);
    }
    fs::write(path, value).map_err(failed)?;
    Ok(Some(before.to_owned()))
}
