//! A filesystem being configured: fsopen, fsconfig, fsmount.

use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;

use super::Attributes;

/// What the older mount call takes of options, with the end of the string.
const PAGE: usize = 4096;

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

/// The most layers that [`mount_opened_layers`] takes: their names fit into a page with some room for other options.
pub const MOST_OPENED_LAYERS: usize = 160;

/// Mounts an overlay of `layers`, the top one first, on `at`; `rest` holds the other options.
///
/// The older call takes one page of options, which forty paths may fill (mount(2)). Here each layer is opened and named by
/// its descriptor. Allocates nothing, so that a forked child can use it.
pub fn mount_opened_layers(at: &CStr, layers: &[CString], rest: &CStr) -> Result<(), Errno> {
    if layers.len() > MOST_OPENED_LAYERS {
        return Err(Errno::E2BIG);
    }
    let mut opened = [const { None::<OwnedFd> }; MOST_OPENED_LAYERS];
    let mut options = [0; PAGE];
    // The last byte stays the end of the string.
    let mut room = &mut options[..PAGE - 1];
    let full = |_| Errno::E2BIG;
    room.write_all(b"lowerdir").map_err(full)?;
    for (place, (at, layer)) in opened.iter_mut().zip(layers.iter().enumerate()) {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let layer = place.insert(open(layer.as_c_str(), flags, Mode::empty())?);
        let before = if at == 0 { '=' } else { ':' };
        write!(room, "{before}/proc/self/fd/{}", layer.as_raw_fd()).map_err(full)?;
    }
    if !rest.is_empty() {
        room.write_all(b",").map_err(full)?;
        room.write_all(rest.to_bytes()).map_err(full)?;
    }
    let options = CStr::from_bytes_until_nul(&options).map_err(|_| Errno::E2BIG)?;
    mount_with_options(c"overlay", at, options)
}

pub(super) fn owned(fd: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: callers pass the answer of a system call that has just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
