//! A path to a socket that always fits: an address has room for 107 bytes, so it leads through the open directory.

use std::{fs::File, io, os::fd::AsRawFd, path::Path};

/// The way to a socket, there for as long as this is.
#[derive(Debug)]
pub(super) struct Nearby {
    folder: File,
    name: String,
}

impl Nearby {
    /// The way to the socket that is, or will be, at `socket`. Its directory must be there.
    pub(super) fn of(socket: &Path) -> io::Result<Self> {
        let name = socket.file_name().and_then(|name| name.to_str());
        let (folder, name) = socket.parent().zip(name).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { folder: File::open(folder)?, name: name.to_owned() })
    }

    /// It, as a path.
    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}/{}", self.folder.as_raw_fd(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_path_may_be_longer_than_an_address() {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("d".repeat(100));
        std::fs::create_dir(&deep).unwrap();
        let socket = deep.join("socket");
        let _listener = UnixListener::bind(Nearby::of(&socket).unwrap().path()).unwrap();
        assert!(socket.exists());
        UnixStream::connect(Nearby::of(&socket).unwrap().path()).unwrap();
    }
}
