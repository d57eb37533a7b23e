//! What a process does to itself between clone and exec. Nothing here allocates.

use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;

use super::Signal;

/// Ends the process without running anything registered for its end.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit does not return and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Orphaned descendants become children of this process instead of the machine's first one.
pub fn set_subreaper() -> Result<(), Errno> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// This process is sent `signal` when the thread that made it ends.
///
/// A change of user or of capabilities clears it, so it is asked for again afterwards.
pub fn die_with_parent(signal: Signal) -> Result<(), Errno> {
    // SAFETY: the call takes integers only.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal.as_raw(), 0, 0, 0) }).map(drop)
}

/// Closes this process's memory and descriptors to others in the namespaces it is about to enter.
pub fn undumpable() -> Result<(), Errno> {
    nix::sys::prctl::set_dumpable(false)
}

/// Becomes the leader of a new session, away from the caller's terminal.
pub fn new_session() -> Result<(), Errno> {
    nix::unistd::setsid().map(drop)
}

/// Joins a new anonymous session keyring, so that the caller's keys stay with the caller.
pub fn session_keyring() -> Result<(), Errno> {
    let join = libc::c_long::from(libc::KEYCTL_JOIN_SESSION_KEYRING);
    let anonymous: *const libc::c_char = std::ptr::null();
    // SAFETY: a null name asks for an anonymous keyring; no memory of ours is passed.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, join, anonymous) }).map(drop)
}

/// Whether a descriptor of this process has the number.
#[must_use]
pub fn is_open(number: RawFd) -> bool {
    // SAFETY: the call takes integers only and changes nothing.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

/// Puts a copy of `from` at the number `to`, open across exec.
pub fn duplicate_to(from: BorrowedFd<'_>, to: RawFd) -> Result<(), Errno> {
    if from.as_raw_fd() == to {
        let flags = nix::fcntl::FdFlag::empty();
        return fcntl(from, FcntlArg::F_SETFD(flags)).map(drop);
    }
    // SAFETY: only descriptor numbers are passed; the caller names `to` as one it gives up.
    Errno::result(unsafe { libc::dup2(from.as_raw_fd(), to) }).map(drop)
}

/// One of this process's own standard streams, which are open for as long as it runs.
#[must_use]
pub fn own_stream(number: usize) -> BorrowedFd<'static> {
    let raw = match number {
        0 => libc::STDIN_FILENO,
        1 => libc::STDOUT_FILENO,
        _ => libc::STDERR_FILENO,
    };
    // SAFETY: the language's runtime opens these three before main if they were closed, and nothing here closes them.
    unsafe { BorrowedFd::borrow_raw(raw) }
}

/// The same open file at a number above the standard three, closed on exec.
pub fn dup_above_stdio(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    let raw = fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl has just made this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Closes every descriptor from `first` on, except those in `keep`. Allocates nothing.
pub fn close_inherited<const N: usize>(first: RawFd, mut keep: [RawFd; N]) -> Result<(), Errno> {
    keep.sort_unstable();
    let mut next = first;
    for fd in keep {
        close_range(next, fd - 1)?;
        next = next.max(fd + 1);
    }
    close_range(next, RawFd::MAX)
}

/// Closes every descriptor above the standard three that is not in `keep`.
///
/// For a copy of a process that will not use, or drop, what belonged to the others any more.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept {
        close_range(first, fd - 1)?;
        first = first.max(fd + 1);
    }
    close_range(first, RawFd::MAX)
}

/// Sends `signal` to every process of the group that `leader`, a child of ours that we have not reaped, leads.
pub fn signal_group(leader: super::Pid, signal: Signal) -> Result<(), Errno> {
    // SAFETY: the call takes two integers.
    Errno::result(unsafe { libc::killpg(leader.as_raw(), signal.as_raw()) }).map(drop)
}

fn close_range(first: RawFd, last: RawFd) -> Result<(), Errno> {
    if first > last {
        return Ok(());
    }
    // SAFETY: the numbers are plain integers. The descriptors closed belong to values that this process, a copy made
    // to execute another program, never uses or drops again.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Whether the working directory lies below the root, and is not one that was reached through a descriptor from
/// outside.
pub fn is_here_reachable() -> Result<bool, Errno> {
    let mut path = [0_u8; 4096];
    // SAFETY: the buffer is writable for the length given. The bare call is used because the C library's hides what
    // is asked for here: the kernel's "(unreachable)" in front of the path.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) };
    Errno::result(length)?;
    Ok(path[0] == b'/')
}

/// The kernel's version, the first two numbers.
#[must_use]
pub fn kernel_release() -> (u32, u32) {
    let Ok(name) = nix::sys::utsname::uname() else { return (0, 0) };
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Opens `path`, which exists, and writes `text` to it in one call.
pub fn write_file(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::write(&file, text).map(drop)
}

/// Executes `program`. Returns only on failure.
///
/// Both lists end with a null pointer and point at strings that outlive the call.
pub fn execute(program: &CStr, args: &PointerList, env: &PointerList) -> Result<Infallible, Errno> {
    // SAFETY: a `PointerList` is null-terminated and owns the strings it points to.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    Err(Errno::last())
}

pub use list::PointerList;

mod list {
    use std::ffi::CString;

    /// Strings in the form execve takes: pointers, the last one null.
    #[derive(Debug)]
    pub struct PointerList {
        pointers: Vec<*const libc::c_char>,
        strings: Vec<CString>,
    }

    impl PointerList {
        /// Takes the strings over; their bytes do not move while the list lives.
        #[must_use]
        pub fn new(strings: Vec<CString>) -> Self {
            let pointers = strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
            Self { pointers, strings }
        }

        /// The same strings and one more.
        #[must_use]
        pub fn with(&self, more: CString) -> Self {
            Self::new(self.strings.iter().cloned().chain([more]).collect())
        }

        pub(in crate::kernel) fn as_ptr(&self) -> *const *const libc::c_char {
            self.pointers.as_ptr()
        }
    }
}
