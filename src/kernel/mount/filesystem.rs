//! A filesystem being configured: fsopen, fsconfig, fsmount.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use super::Attributes;

/// A filesystem context: options go in, a detached mount comes out.
#[derive(Debug)]
pub struct Filesystem(OwnedFd);

impl Filesystem {
    /// Begins a filesystem of the type named.
    pub fn open(fstype: &CStr) -> Result<Self, Errno> {
        // SAFETY: the name is a valid C string for the length of the call.
        let fd = unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), libc::FSOPEN_CLOEXEC) };
        owned(fd).map(Self)
    }

    /// Sets an option that has a value. The kernel takes at most 255 bytes.
    pub fn set(&self, key: &CStr, value: &CStr) -> Result<(), Errno> {
        self.configure(libc::FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())
    }

    /// Sets an option that has none.
    pub fn flag(&self, key: &CStr) -> Result<(), Errno> {
        self.configure(libc::FSCONFIG_SET_FLAG, key.as_ptr(), std::ptr::null())
    }

    /// Makes the filesystem and a detached mount of it.
    pub fn mount(&self, attributes: Attributes) -> Result<OwnedFd, Errno> {
        self.configure(libc::FSCONFIG_CMD_CREATE, std::ptr::null(), std::ptr::null())?;
        // SAFETY: integers only; the context is our own descriptor.
        let fd = unsafe {
            libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), libc::FSMOUNT_CLOEXEC, attributes.to_set())
        };
        owned(fd)
    }

    fn configure(
        &self,
        command: u32,
        key: *const libc::c_char,
        value: *const libc::c_char,
    ) -> Result<(), Errno> {
        // SAFETY: key and value are null or C strings that outlive the call, as `command` wants them.
        let done = unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, key, value, 0) };
        Errno::result(done).map(drop)
    }
}

/// Mounts a filesystem on `at` with one option string, the older way.
///
/// For what the newer calls cannot say: values beyond 255 bytes, and kernels that take overlay layers only so.
pub fn mount_with_options(fstype: &CStr, at: &CStr, options: &CStr) -> Result<(), Errno> {
    mount(Some(fstype), at, Some(fstype), MsFlags::empty(), Some(options))
}

pub(super) fn owned(fd: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: callers pass the answer of a system call that has just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
