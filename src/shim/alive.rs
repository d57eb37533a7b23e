//! Whether a task has a shim that lives, whatever it has said so far.
//!
//! A shim's standard error is a file in the task's directory, and that open file is locked from before the shim is
//! executed until its last descriptor is closed. So the lock tells of a shim that has not come as far as its socket,
//! and of one that does not answer any more; a process number in a file would tell of neither for certain.
//!
//! Nothing tells when a lock is free. But a process has let go of its files before its handle says that it has ended, so
//! whoever waits for a shim looks for the processes that hold the file, and waits for them.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::kernel::process::{Pid, Pidfd, Signal};

/// The file in a task's directory that is its shim's standard error.
const FILE: &str = "shim.err";

/// How long a shim that is about to go may take, and one that was killed.
const GOING: Duration = Duration::from_millis(500);
const KILLED: Duration = Duration::from_secs(10);

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
        let left = until.saturating_duration_since(Instant::now());
        let ended = match holders(&directory.join(FILE))?.first() {
            Some(shim) => shim.ends_within(Some(left))?,
            // It let go between the two looks, or nobody can say what to wait for.
            None => !is_alive(directory)?,
        };
        if !ended {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The shim of the task in `directory`, with what it is about to become a container: whoever holds its lock.
pub(super) fn shims(directory: &Path) -> io::Result<Vec<Pidfd>> {
    if is_alive(directory)? { holders(&directory.join(FILE)) } else { Ok(Vec::new()) }
}

/// The processes whose standard error is the file at `path`; where there is none, those that hold it in another way, as
/// one that is about to be executed does.
fn holders(path: &Path) -> io::Result<Vec<Pidfd>> {
    let wanted = identity(path)?;
    let is_it = |file: PathBuf| identity(&file).is_ok_and(|held| held == wanted);
    let by_errors = |pid: i32| is_it(format!("/proc/{pid}/fd/2").into());
    let found = processes(by_errors)?;
    if !found.is_empty() {
        return Ok(found);
    }
    processes(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        Pid::from_raw(pid) != Pid::this() && files.map(|file| file.path()).any(is_it)
    })
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// The processes of which `is_wanted` is true.
fn processes(is_wanted: impl Fn(i32) -> bool) -> io::Result<Vec<Pidfd>> {
    let names = fs::read_dir("/proc")?.flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse::<i32>().ok());
    let found = pids.filter(|&pid| is_wanted(pid)).filter_map(|pid| {
        let process = Pidfd::open(Pid::from_raw(pid)).ok()?;
        // The number may have become another process's before the handle was there.
        is_wanted(pid).then_some(process)
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A shim of the task in `place` that lives until its standard input is closed.
    fn shim(place: &Path, errors: impl FnOnce(&mut Command, File)) -> Child {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        errors(&mut command, claim(place).unwrap());
        command.spawn().unwrap()
    }

    fn as_errors(command: &mut Command, file: File) {
        command.stderr(file);
    }

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
        let mut silent = shim(place.path(), as_errors);
        assert!(is_alive(place.path()).unwrap());
        assert!(claim(place.path()).is_err(), "there is no second one");
        let ended = end(place.path());
        let _ = silent.kill();
        silent.wait().unwrap();
        ended.unwrap();
        assert!(!is_alive(place.path()).unwrap());
    }

    #[test]
    fn a_shim_that_goes_by_itself_is_waited_for_and_not_killed() {
        let place = tempfile::tempdir().unwrap();
        let mut going = shim(place.path(), as_errors);
        let input = going.stdin.take();
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| is_gone_within(place.path(), Duration::from_secs(60)));
            drop(input);
            assert!(ending.join().unwrap().unwrap());
        });
        assert!(going.wait().unwrap().success());
    }

    #[test]
    fn a_shim_that_has_not_come_as_far_as_its_standard_error_is_found_as_well() {
        let place = tempfile::tempdir().unwrap();
        let mut early = shim(place.path(), |command, file| {
            command.stdout(file);
        });
        assert_eq!(shims(place.path()).unwrap().len(), 1);
        end(place.path()).unwrap();
        assert!(!early.wait().unwrap().success());
    }
}
