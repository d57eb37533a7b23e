//! clone3: a copy of the caller in new namespaces, born in its control group.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::{Pidfd, exit_now};
use crate::kernel::namespace::Namespaces;

/// The C library crate's constant has lost its upper bits.
pub(super) const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the child ends with if its function unwinds.
const UNWOUND: i32 = 254;

/// What the new process gets of its own from its first moment.
#[derive(Debug, Default, Clone, Copy)]
pub struct CloneRequest<'a> {
    /// New namespaces.
    pub namespaces: Namespaces,
    /// The version 2 control group to be born in; saves the move, which waits for every fork on the host.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Whether it becomes a child of the caller's parent.
    pub is_sibling: bool,
}

/// A process just made.
#[derive(Debug)]
pub struct Child {
    /// Its number in the caller's pid namespace.
    pub pid: Pid,
    /// Its handle.
    pub pidfd: Pidfd,
}

/// Copies the calling process; the copy runs `child` and exits with what it returns.
///
/// The caller must have one thread, or `child` must keep to system calls: locks held by other threads stay locked
/// for ever in the copy.
pub fn clone(request: &CloneRequest<'_>, child: impl FnOnce() -> i32) -> Result<Child, Errno> {
    let mut pidfd: RawFd = -1;
    let mut flags = request.namespaces.bits() | libc::CLONE_PIDFD as u64;
    let mut cgroup = 0;
    if let Some(fd) = request.cgroup {
        flags |= CLONE_INTO_CGROUP;
        cgroup = u64::try_from(fd.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    }
    let mut exit_signal = libc::SIGCHLD as u64;
    if request.is_sibling {
        // The signal is then the one that the caller's own end sends.
        (flags, exit_signal) = (flags | libc::CLONE_PARENT as u64, 0);
    }
    let args = libc::clone_args {
        flags,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup,
    };
    // SAFETY: without CLONE_VM this is fork: the child has its own copy of all memory and continues on its own copy
    // of this stack. `args` and `pidfd` outlive the call, and the size given is that of the structure.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    let pid = match Errno::result(pid) {
        // The filter of a container keeps the newer call from those who are under it.
        Err(Errno::ENOSYS | Errno::EPERM) if request.is_sibling => {
            let none = std::ptr::null_mut::<libc::c_void>();
            // SAFETY: the same by the older call, whose third argument is where the handle goes.
            Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, none, &raw mut pidfd, none, none) })?
        }
        made => made?,
    };
    if pid == 0 {
        let unwound = ExitOnDrop;
        let code = child();
        std::mem::forget(unwound);
        exit_now(code);
    }
    // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor that only we own.
    let pidfd = Pidfd::from_owned(unsafe { OwnedFd::from_raw_fd(pidfd) });
    let pid = libc::pid_t::try_from(pid).map_err(|_| Errno::EOVERFLOW)?;
    Ok(Child { pid: Pid::from_raw(pid), pidfd })
}

/// Keeps a panic in the child from unwinding into the parent's code.
struct ExitOnDrop;

impl Drop for ExitOnDrop {
    fn drop(&mut self) {
        exit_now(UNWOUND);
    }
}
