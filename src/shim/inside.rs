//! Files of a container that runs, read from outside without being led out.

use std::{ffi::CString, fs::File, io, io::Read, os::fd::AsFd, path::Path};

use nix::{fcntl::OFlag, sys::stat::Mode};

use crate::kernel::{fs::open_in_root, mount::open_directory};

/// The most bytes of a file that are read.
const MOST: u64 = 1 << 20;

/// What a file of the container says whose first process is `pid`; nothing when the file is not there.
///
/// Links are followed within the container's root only, and nothing but a regular file is read.
pub fn read(pid: i32, path: &Path) -> io::Result<Vec<u8>> {
    let root = CString::new(format!("/proc/{pid}/root"))?;
    let root = open_directory(&root)?;
    // A pipe would keep whoever opens it waiting.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match open_in_root(root.as_fd(), path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    };
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.take(MOST).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
