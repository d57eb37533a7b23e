//! One daemon a state directory.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Why an instance's directories cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon has them.
    #[error("another hythe daemon uses {}{}", directory.display(), holder(.pid.as_ref()))]
    Taken {
        /// The state directory.
        directory: PathBuf,
        /// The other daemon, if it said so.
        pid: Option<u32>,
    },
    /// They cannot be made or locked.
    #[error("prepare {}", path.display())]
    Prepare {
        /// The directory or the file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn holder(pid: Option<&u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

/// The right to an instance's state, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Makes the state directory, readable by its owner only, and takes it.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        make_private(directory)?;
        let path = directory.join("lock");
        let failed = |source| LockError::Prepare { path: path.clone(), source };
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
                return Err(LockError::Taken { directory: directory.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Makes a directory that only its owner may enter; one that is there stays as it is.
pub fn make_private(directory: &Path) -> Result<(), LockError> {
    make(directory, 0o700)
}

/// Makes a directory that everybody may enter, for a socket that says itself who may call.
pub fn make_public(directory: &Path) -> Result<(), LockError> {
    make(directory, 0o755)
}

fn make(directory: &Path, mode: u32) -> Result<(), LockError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(directory)
        .map_err(|source| LockError::Prepare { path: directory.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_by_name_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("deep/state");
        let first = StateLock::take(&directory).unwrap();
        let refused = StateLock::take(&directory).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!("another hythe daemon uses {} (pid {})", directory.display(), std::process::id())
        );
        drop(first);
        StateLock::take(&directory).unwrap();
    }
}
