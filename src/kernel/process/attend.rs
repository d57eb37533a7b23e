//! What a first process does: waits for signals, passes them on, reaps.

use std::ffi::CStr;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::{Exit, Signal, SignalMask};

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
