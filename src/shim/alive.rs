//! Whether a task has a shim that lives, whatever it has said so far.
//!
//! A shim's standard error is a file in the task's directory, and that open file is locked from before the shim is
//! executed until its last descriptor is closed. So the lock tells of a shim that has not come as far as its socket,
//! and of one that does not answer any more; a process number in a file would tell of neither for certain.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::kernel::process::{Pid, Pidfd, Signal};

/// The file in a task's directory that is its shim's standard error.
const FILE: &str = "shim.err";

/// How long a shim that is about to go may take, and one that was killed.
const GOING: Duration = Duration::from_millis(500);
const KILLED: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// A shim that could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// Whether it lives cannot be told.
    #[error("look at {}", path.display())]
    Look {
        /// Its standard error.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It lives, whatever is done.
    #[error("the shim that holds {} does not end", .0.display())]
    Lives(PathBuf),
}

/// Makes the standard error of a shim that is about to be executed, which says that it lives.
pub(super) fn claim(directory: &Path) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(directory.join(FILE))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("the task has a shim already")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the task in `directory` has a shim that lives or is being executed.
pub fn is_alive(directory: &Path) -> io::Result<bool> {
    let file = match File::open(directory.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Waits for the shim of the task in `directory` to go, and kills it when it does not. Its containers die with it.
pub fn end(directory: &Path) -> Result<(), EndError> {
    let path = directory.join(FILE);
    let failed = |source| EndError::Look { path: path.clone(), source };
    if is_gone_within(directory, GOING).map_err(failed)? {
        return Ok(());
    }
    for shim in holders(&path).map_err(failed)? {
        // One that has ended meanwhile needs no signal.
        let _ = shim.signal(Signal::KILL);
    }
    if is_gone_within(directory, KILLED).map_err(failed)? { Ok(()) } else { Err(EndError::Lives(path)) }
}

fn is_gone_within(directory: &Path, limit: Duration) -> io::Result<bool> {
    let until = Instant::now() + limit;
    while is_alive(directory)? {
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(LOOK);
    }
    Ok(true)
}

/// The processes whose standard error is the file at `path`.
fn holders(path: &Path) -> io::Result<Vec<Pidfd>> {
    let wanted = fs::metadata(path)?;
    let is_holder = |pid: i32| {
        let held = fs::metadata(format!("/proc/{pid}/fd/2"));
        held.is_ok_and(|held| (held.dev(), held.ino()) == (wanted.dev(), wanted.ino()))
    };
    let names = fs::read_dir("/proc")?.flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse::<i32>().ok());
    let held = pids.filter(|pid| is_holder(*pid)).filter_map(|pid| {
        let process = Pidfd::open(Pid::from_raw(pid)).ok()?;
        // The number may have become another process's before the handle was there.
        is_holder(pid).then_some(process)
    });
    Ok(held.collect())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_directory_without_a_shim_has_none() {
        let place = tempfile::tempdir().unwrap();
        assert!(!is_alive(place.path()).unwrap());
        end(place.path()).unwrap();
        drop(claim(place.path()).unwrap());
        assert!(!is_alive(place.path()).unwrap());
    }

    #[test]
    fn a_shim_that_says_nothing_is_alive_and_is_ended() {
        let place = tempfile::tempdir().unwrap();
        let errors = claim(place.path()).unwrap();
        let mut silent = Command::new("sleep").arg("1000").stderr(Stdio::from(errors)).spawn().unwrap();
        assert!(is_alive(place.path()).unwrap());
        assert!(claim(place.path()).is_err(), "there is no second one");
        let ended = end(place.path());
        let _ = silent.kill();
        silent.wait().unwrap();
        ended.unwrap();
        assert!(!is_alive(place.path()).unwrap());
    }
}
