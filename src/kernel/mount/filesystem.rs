//! A filesystem being configured: fsopen, fsconfig, fsmount.

use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;

use super::{Attributes, path_of};

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

    /// Begins to change the filesystem of which `mount` is the root of a mount.
    pub fn pick(mount: BorrowedFd<'_>) -> Result<Self, Errno> {
        let flags = libc::FSPICK_CLOEXEC | libc::FSPICK_EMPTY_PATH;
        // SAFETY: the path is the empty C string; the descriptor is borrowed for the call.
        let fd = unsafe { libc::syscall(libc::SYS_fspick, mount.as_raw_fd(), c"".as_ptr(), flags) };
        owned(fd).map(Self)
    }

    /// Puts the changes in force, for all mounts of the filesystem.
    pub fn reconfigure(&self) -> Result<(), Errno> {
        self.configure(libc::FSCONFIG_CMD_RECONFIGURE, std::ptr::null(), std::ptr::null())
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

/// How a filesystem keeps what is written to it, as far as the older call alone can say that it counts versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Whether it counts the versions of its files.
    pub versions: bool,
    /// Whether everything is written at once.
    pub synchronous: bool,
    /// Whether times are written late.
    pub lazy_times: bool,
}

/// Has the filesystem of which `mount` is the root of a mount keep things like this.
///
/// The mount must be attached in this namespace, and loses its attributes. Kernels have no other call for it; filesystems
/// that always count versions, as most with a disk do today, go on with it.
pub fn set_keeping(mount: BorrowedFd<'_>, keeping: Keeping) -> Result<(), Errno> {
    let flags = [
        (keeping.versions, MsFlags::MS_I_VERSION),
        (keeping.synchronous, MsFlags::MS_SYNCHRONOUS),
        (keeping.lazy_times, MsFlags::MS_LAZYTIME),
    ];
    let flags =
        flags.into_iter().filter(|(is_set, _)| *is_set).fold(MsFlags::MS_REMOUNT, |all, one| all | one.1);
    let mut buffer = [0; 32];
    let path = path_of(mount, &mut buffer)?;
    nix::mount::mount(None::<&CStr>, path, None::<&CStr>, flags, None::<&CStr>)
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
