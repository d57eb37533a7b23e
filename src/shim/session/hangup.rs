//! The end of a session whose person is gone: whatever of it is left is killed.

use std::fs;

use crate::kernel::{
    cgroup::Group,
    process::{Pid, Pidfd, Signal},
};

/// Kills the processes of the group that are in the session. Gives whether there may be more.
pub(super) fn kill_session(leader: Pid, group: &Group) -> bool {
    let members = group.procs().unwrap_or_default();
    let mut killed = false;
    for pid in members {
        let Ok(handle) = Pidfd::open(pid) else { continue };
        // Looked at through the number after the handle was opened, so the handle is of what was looked at.
        if session_of(pid) == Some((leader, true)) && handle.exists() {
            killed |= handle.signal(Signal::KILL).is_ok();
        }
    }
    killed
}

/// The session of a process, and whether it still runs.
fn session_of(pid: Pid) -> Option<(Pid, bool)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in front may hold anything, blanks and brackets included.
    let (_, rest) = text.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    let is_running = !matches!(words.next()?, "Z" | "X");
    let session = words.nth(2)?.parse().ok()?;
    Some((Pid::from_raw(session), is_running))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_in_its_session() {
        let own = nix::unistd::getsid(None).unwrap();
        assert_eq!(session_of(Pid::this()), Some((own, true)));
        assert_eq!(session_of(Pid::from_raw(i32::MAX)), None);
    }
}
