//! The host's own settings that a network of tasks needs.
//!
//! Settings of the instance's own bridge are simply made; settings of the whole host are reported as a [`Change`].

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};

use super::NetError;
use crate::model::network::LinkName;

const IP_FORWARD: &str = "net.ipv4.ip_forward";

/// A setting of the host that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The setting, as `sysctl` names it.
    pub setting: String,
    /// What it was.
    pub before: String,
    /// What it is now.
    pub after: String,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} changed from {} to {}", self.setting, self.before, self.after)
    }
}

/// Lets the host pass packets on between interfaces.
pub(super) fn enable_forwarding() -> Result<Option<Change>, NetError> {
    let before = set(&path_of(IP_FORWARD), "1")?;
    Ok(before.map(forwarding))
}

/// What [`enable_forwarding`] would change.
pub(super) fn forwarding_needed() -> Option<Change> {
    let before = fs::read_to_string(path_of(IP_FORWARD)).ok()?;
    (before.trim() != "1").then(|| forwarding(before.trim().to_owned()))
}

fn forwarding(before: String) -> Change {
    Change { setting: IP_FORWARD.to_owned(), before, after: "1".to_owned() }
}

/// Makes a setting what it was before, unless somebody has changed it since. Gives whether it did.
pub(super) fn undo(change: &Change) -> Result<bool, NetError> {
    // Nothing but what is changed here is changed back, whatever a damaged record says.
    if change.setting != IP_FORWARD {
        return Ok(false);
    }
    let path = path_of(IP_FORWARD);
    let now = fs::read_to_string(&path).unwrap_or_default();
    if now.trim() != change.after {
        return Ok(false);
    }
    set(&path, &change.before).map(|changed| changed.is_some())
}

fn path_of(setting: &str) -> String {
    format!("/proc/sys/{}", setting.replace('.', "/"))
}

/// Lets answers to connections from 127.0.0.1 come back from the tasks.
///
/// The firewall's guard chain keeps tasks from reaching the host's loopback by the same door.
pub(super) fn route_loopback(bridge: &LinkName) -> Result<(), NetError> {
    set(&format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet"), "1").map(drop)
}

/// Makes a setting and returns what it was, or nothing when it was so already.
fn set(path: &str, value: &str) -> Result<Option<String>, NetError> {
    let failed = |source| NetError::Setting { path: path.to_owned(), value: value.to_owned(), source };
    let before = fs::read_to_string(path).map_err(failed)?;
    let before = before.trim();
    if before == value {
        return Ok(None);
    }
    fs::write(path, value).map_err(failed)?;
    Ok(Some(before.to_owned()))
}
