//! Who calls: over the unix socket the kernel says so.
//!
//! Root and the daemon's own user always may; others when they are named, or when they are in the named group. The
//! group of a process is checked against all of its groups, because the socket's file mode lets all of them in.

use std::fs;

use tokio::net::unix::UCred;

/// Who may call over the unix socket, besides root and the user that the daemon runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Users.
    pub uids: Vec<u32>,
    /// A group; the socket file belongs to it.
    pub gid: Option<u32>,
}

impl Access {
    /// Whether the process at the other end may call.
    pub(super) fn admits(&self, peer: UCred) -> bool {
        let own = nix::unistd::geteuid().as_raw();
        if peer.uid() == 0 || peer.uid() == own || self.uids.contains(&peer.uid()) {
            return true;
        }
        let Some(gid) = self.gid else { return false };
        peer.gid() == gid || peer.pid().is_some_and(|pid| groups_of(pid).contains(&gid))
    }
}

/// The supplementary groups of a process; none when it is gone.
fn groups_of(pid: i32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
    line.unwrap_or_default().split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}
