//! Freezing a group, killing all that is in it, removing it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::group::{Home, is_gone, read, subgroups, write};
use super::{CgroupError, Group};
use crate::kernel::namespace::is_first;
use crate::kernel::process::{Pid, Pidfd, Signal};

/// How long processes may take to end after SIGKILL. Beyond it they hang in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How long they may take before it is looked for what holds them.
pub const HELD_AFTER: Duration = Duration::from_millis(200);

/// How long a group may stay busy after its last process has ended.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);

/// How long freezing may take.
const FREEZE_LIMIT: Duration = Duration::from_secs(5);

/// The pause between looks where the kernel offers no event. Doubles up to 32 times this.
const FIRST_PAUSE: Duration = Duration::from_micros(200);

impl Group {
    /// Kills everything in the group and below it, and returns when all of it has ended.
    ///
    /// Version 2 has one call for it. In version 1 each process is killed through its handle, again and again until no
    /// new one turns up. Children of the caller are left to be reaped.
    pub fn kill(&self) -> Result<(), CgroupError> {
        if let Some(dir) = self.unified_dir() {
            // Absent before Linux 5.14; the loop below does the same, only slower.
            let _ = write(&dir.join("cgroup.kill"), "1");
        }
        let deadline = Instant::now() + KILL_LIMIT;
        loop {
            let handles = self.handles()?;
            if handles.is_empty() {
                return Ok(());
            }
            if let Some(Home::V1(dir)) = self.home("freezer") {
                let _ = thaw_below(&dir);
            }
            self.end(&handles);
            if wait_all(&handles, deadline.min(Instant::now() + HELD_AFTER)) {
                continue;
            }
            for (pid, _) in &handles {
                self.kill_namespace_of(*pid);
            }
            if !wait_all(&handles, deadline) {
                return Err(CgroupError::Survivors {
                    path: self.path().as_path().into(),
                    count: handles.len(),
                });
            }
        }
    }

    /// Kills everything in a pid namespace, wherever it has been moved, if `pid` is the first process there: that one ends
    /// after all others.
    pub fn kill_namespace_of(&self, pid: Pid) {
        if is_first(pid) {
            self.end(&companions(pid));
        }
    }

    /// Kills processes, and sees to it that they can die of it.
    fn end(&self, handles: &[(Pid, Pidfd)]) {
        for (pid, handle) in handles {
            // One that has just ended needs no signal.
            let _ = handle.signal(Signal::KILL);
            self.release(*pid);
        }
    }

    /// Takes a process out of a frozen group of version 1, which does not die. Who else is in the group stays frozen.
    fn release(&self, pid: Pid) {
        let freezer = self.layout().hierarchies().iter().find(|hierarchy| hierarchy.has("freezer"));
        let Some((freezer, own)) = freezer.and_then(|freezer| Some((freezer, place(pid, "freezer")?))) else {
            return;
        };
        let state = read(&freezer.mount.join(own).join("freezer.state"));
        if state.is_ok_and(|state| state.trim() != "THAWED") {
            // The top cannot be frozen. A process that has ended meanwhile cannot be moved.
            let _ = write(&freezer.mount.join("cgroup.procs"), &pid.to_string());
        }
    }

    /// Handles to the processes in the group.
    ///
    /// A number could pass to a stranger between reading it and opening it, so only processes that are still in the
    /// group once the handle is open count.
    fn handles(&self) -> Result<Vec<(Pid, Pidfd)>, CgroupError> {
        let opened: Vec<_> =
            self.procs()?.into_iter().filter_map(|pid| Some((pid, Pidfd::open(pid).ok()?))).collect();
        if opened.is_empty() {
            return Ok(Vec::new());
        }
        let still = self.procs()?;
        Ok(opened.into_iter().filter(|(pid, _)| still.contains(pid)).collect())
    }

    /// Removes the group and the groups below it from every hierarchy. There must be no process left in it.
    ///
    /// A group that is gone already is removed.
    pub fn delete(&self) -> Result<(), CgroupError> {
        if let Some(scope) = self.scope() {
            scope.end()?;
        }
        let deadline = Instant::now() + REMOVE_LIMIT;
        for dir in self.dirs() {
            remove(&dir, deadline)?;
        }
        Ok(())
    }

    /// Stops every process in the group until [`Group::thaw`].
    pub fn freeze(&self) -> Result<(), CgroupError> {
        match self.home("freezer").ok_or(CgroupError::NoFreezer)? {
            Home::V1(dir) => {
                write(&dir.join("freezer.state"), "FROZEN")?;
                self.wait_until("frozen", || Ok(read(&dir.join("freezer.state"))?.trim() == "FROZEN"))
            }
            Home::V2(dir) => {
                write(&dir.join("cgroup.freeze"), "1")?;
                self.wait_until("frozen", || Ok(read(&dir.join("cgroup.events"))?.contains("frozen 1")))
            }
        }
    }

    /// Lets a frozen group go on.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        match self.home("freezer").ok_or(CgroupError::NoFreezer)? {
            Home::V1(dir) => {
                write(&dir.join("freezer.state"), "THAWED")?;
                self.wait_until("thawed", || Ok(read(&dir.join("freezer.state"))?.trim() == "THAWED"))
            }
            Home::V2(dir) => write(&dir.join("cgroup.freeze"), "0"),
        }
    }

    /// Whether the group was frozen by [`Group::freeze`].
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        match self.home("freezer") {
            Some(Home::V1(dir)) => {
                read(&dir.join("freezer.state")).is_ok_and(|state| state.trim() != "THAWED")
            }
            Some(Home::V2(dir)) => read(&dir.join("cgroup.freeze")).is_ok_and(|state| state.trim() == "1"),
            None => false,
        }
    }

    fn wait_until(
        &self,
        state: &'static str,
        reached: impl Fn() -> Result<bool, CgroupError>,
    ) -> Result<(), CgroupError> {
        let deadline = Instant::now() + FREEZE_LIMIT;
        let mut pause = FIRST_PAUSE;
        while !reached()? {
            if Instant::now() >= deadline {
                return Err(CgroupError::Freezing { path: self.path().as_path().into(), state });
            }
            std::thread::sleep(pause);
            pause = longer(pause);
        }
        Ok(())
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(FIRST_PAUSE * 32)
}

fn thaw_below(dir: &Path) -> Result<(), CgroupError> {
    write(&dir.join("freezer.state"), "THAWED")?;
    for below in subgroups(dir)? {
        thaw_below(&below)?;
    }
    Ok(())
}

/// The group of a process in the hierarchy of a version 1 controller, from the hierarchy's root.
fn place(pid: Pid, controller: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let own = text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    });
    own.map(|path| path.trim_start_matches('/').into())
}

/// Handles to the processes in the same pid namespace.
fn companions(pid: Pid) -> Vec<(Pid, Pidfd)> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let theirs = namespace(&pid.to_string());
    let is_theirs = |pid: &str| theirs.is_some() && namespace(pid) == theirs;
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| is_theirs(name))
        .filter_map(|name| {
            let pid = Pid::from_raw(name.parse().ok()?);
            let handle = Pidfd::open(pid).ok()?;
            // The number could have passed to a stranger before the handle was open, but not after.
            is_theirs(&name).then_some((pid, handle))
        })
        .collect()
}

/// Waits for the end of every process; false if some are left at the deadline.
fn wait_all(handles: &[(Pid, Pidfd)], deadline: Instant) -> bool {
    handles.iter().all(|(_, handle)| {
        let left = deadline.saturating_duration_since(Instant::now());
        // One that cannot be waited for is no reason to go on waiting.
        handle.ends_within(Some(left)).unwrap_or(true)
    })
}

/// Removes a directory of groups from the bottom up.
///
/// A process that has ended leaves its group a moment later, and no event tells when; hence the pauses.
fn remove(dir: &Path, deadline: Instant) -> Result<(), CgroupError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(err) if is_gone(&err) => return Ok(()),
            Err(source) if source.kind() == ErrorKind::ResourceBusy => {
                let below = subgroups(dir)?;
                for group in &below {
                    remove(group, deadline)?;
                }
                if below.is_empty() {
                    if Instant::now() >= deadline {
                        return Err(CgroupError::Remove { path: dir.to_path_buf(), source });
                    }
                    std::thread::sleep(pause);
                    pause = longer(pause);
                }
            }
            Err(source) => return Err(CgroupError::Remove { path: dir.to_path_buf(), source }),
        }
    }
}
