//! What a first process does: makes way for a program of ours, waits for signals, passes them on, reaps.

use std::convert::Infallible;
use std::ffi::CStr;
use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::{Exit, PointerList, Signal, SignalMask, own_stream};

/// Copies this process, which has one thread. None in the copy. Allocates nothing.
pub fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: this process has one thread, so no lock is held by another that the copy would not have.
    let pid = Errno::result(unsafe { libc::fork() })?;
    Ok((pid != 0).then(|| Pid::from_raw(pid)))
}

/// Makes a child the leader of its own group, and that group the one that the terminal's keys are for.
///
/// A child that has executed its program has done the first itself; without a terminal there is nothing to the second.
pub fn put_in_front(child: Pid) {
    let _ = nix::unistd::setpgid(child, child);
    let _ = nix::unistd::tcsetpgrp(own_stream(0), child);
}

/// Executes our own program, open as `program`, as the attendant of `child`, or of nobody. Returns only on failure.
/// Allocates nothing.
pub fn execute_init(program: BorrowedFd<'_>, child: Option<Pid>) -> Result<Infallible, Errno> {
    let mut number = [0_u8; 12];
    if let Some(child) = child {
        // The last byte stays zero.
        write!(&mut number[..11], "{child}").map_err(|_| Errno::EOVERFLOW)?;
    }
    let end = std::ptr::null();
    let number = if child.is_some() { number.as_ptr().cast() } else { end };
    let args: [*const libc::c_char; 4] = [c"hythe".as_ptr(), c"init".as_ptr(), number, end];
    // SAFETY: both lists end with a null pointer and point at strings that end with a zero; all of them outlive the
    // call.
    Err(unsafe { execute_at(program, args.as_ptr(), [end].as_ptr()) })
}

/// Executes the program that is open as `program`. Returns only on failure.
pub fn execute_open(
    program: BorrowedFd<'_>,
    args: &PointerList,
    env: &PointerList,
) -> Result<Infallible, Errno> {
    // SAFETY: a `PointerList` is null-terminated and owns the strings it points to.
    Err(unsafe { execute_at(program, args.as_ptr(), env.as_ptr()) })
}

/// # Safety
/// Both lists must end with a null pointer and point at strings that end with a zero.
unsafe fn execute_at(
    program: BorrowedFd<'_>,
    args: *const *const libc::c_char,
    env: *const *const libc::c_char,
) -> Errno {
    let place = c"".as_ptr();
    // SAFETY: the caller's promise; the path is the empty C string.
    unsafe {
        libc::syscall(libc::SYS_execveat, program.as_raw_fd(), place, args, env, libc::AT_EMPTY_PATH);
    }
    Errno::last()
}

/// Waits for one of the signals, which must be blocked, and takes it.
pub fn wait_for_signal(mask: &SignalMask) -> Result<Signal, Errno> {
    let set = mask.to_sigset();
    loop {
        let mut number = 0;
        // SAFETY: both references are to initialised values that live across the call.
        let errno = unsafe { libc::sigwait(set.as_ref(), &raw mut number) };
        match (errno, Signal::from_raw(number)) {
            (0, Some(signal)) => return Ok(signal),
            (0 | libc::EINTR, _) => {}
            (errno, _) => return Err(Errno::from_raw(errno)),
        }
    }
}

/// Reaps one child that has ended, whichever; none when none has.
pub fn reap_any() -> Result<Option<(Pid, Exit)>, Errno> {
    loop {
        let mut status = 0;
        // SAFETY: the call writes one integer, which lives across it.
        let found = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        return match Errno::result(found) {
            Ok(0) | Err(Errno::ECHILD) => Ok(None),
            Ok(pid) if libc::WIFEXITED(status) => {
                Ok(Some((Pid::from_raw(pid), Exit::Code(libc::WEXITSTATUS(status)))))
            }
            Ok(pid) => {
                let number = libc::WTERMSIG(status);
                let exit = Signal::from_raw(number).map_or(Exit::Code(128 + number), Exit::Signal);
                Ok(Some((Pid::from_raw(pid), exit)))
            }
            Err(Errno::EINTR) => continue,
            Err(errno) => Err(errno),
        };
    }
}

/// Sends a signal to a child by its number, which is its own until it is reaped.
pub fn send(child: Pid, signal: Signal) -> Result<(), Errno> {
    // SAFETY: the call takes two integers.
    Errno::result(unsafe { libc::kill(child.as_raw(), signal.as_raw()) }).map(drop)
}

/// Gives this process the name that is shown for it, of which the kernel keeps 15 bytes.
pub fn set_name(name: &CStr) -> Result<(), Errno> {
    nix::sys::prctl::set_name(name)
}
