//! Room kept on the disk for what must be written though the disk is full.
//!
//! A task that fills the disk can only be stopped when the order to stop it can be written. So a file beside the
//! database holds some room; when the disk is full it is given up for a commit that only changes what is there
//! already, and taken again once there is room.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::PathBuf,
};

use nix::fcntl::posix_fallocate;

/// Enough for hundreds of changed rows in the write-ahead log.
const ROOM: i64 = 1 << 20;

/// The file that holds the room.
pub(super) struct Reserve {
    path: PathBuf,
    is_kept: bool,
}

impl Reserve {
    /// The reserve in the file at `path`, taken if there is room.
    pub(super) fn at(path: PathBuf) -> Self {
        let mut reserve = Self { path, is_kept: false };
        reserve.keep();
        reserve
    }

    /// Takes the room unless it is taken. That there is none is no error: this is the reserve.
    pub(super) fn keep(&mut self) {
        if !self.is_kept {
            self.is_kept = self.take().is_ok();
            if !self.is_kept {
                let _ = fs::remove_file(&self.path);
            }
        }
    }

    fn take(&self) -> io::Result<()> {
        let file = File::options().write(true).create(true).truncate(false).open(&self.path)?;
        posix_fallocate(file.as_fd(), 0, ROOM)?;
        Ok(())
    }

    /// Gives the room up; whether there was some.
    pub(super) fn give_up(&mut self) -> bool {
        std::mem::take(&mut self.is_kept) && fs::remove_file(&self.path).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_taken_given_up_once_and_taken_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db.reserve");
        let mut reserve = Reserve::at(path.clone());
        assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 20);
        assert!(reserve.give_up());
        assert!(!path.exists());
        assert!(!reserve.give_up(), "what was given up cannot be given again");
        reserve.keep();
        assert!(path.exists());
    }
}
