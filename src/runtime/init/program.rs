//! The end of the child's list: finding the program, loading the filter, executing one of ours before it if need be.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::FileStat;
use nix::unistd::{AccessFlags, faccessat};

use super::{Child, Failure, at, home};
use crate::kernel::process::{self, PointerList, Signal, execute};
use crate::runtime::handshake::Part;
use crate::runtime::hooks::run_inside;
use crate::runtime::steps::Program;

/// A first process of ours, as an open program.
#[derive(Clone, Copy)]
pub(in crate::runtime) struct Attendant<'a> {
    /// Where it is open.
    pub program: BorrowedFd<'a>,
    /// Whether nothing else is executed.
    pub is_alone: bool,
}

/// Executes the program under its filter, and before it the attendant if it has one. Returns only on failure.
pub(super) fn execute_under(child: &Child<'_>) -> Result<std::convert::Infallible, Failure> {
    let with_home = home::environment(child.program);
    let env = with_home.as_ref().unwrap_or(&child.program.env);
    if let Some(attendant) = child.attendant {
        // Before the filter, which may not know of this.
        let made = if attendant.is_alone { None } else { process::fork()? };
        if attendant.is_alone || made.is_some() {
            made.into_iter().for_each(process::put_in_front);
            load(child)?;
            return Ok(process::execute_init(attendant.program, made)?);
        }
        // We are the program now: it ends with its attendant, and the terminal's keys are for it.
        process::die_with_parent(Signal::KILL)?;
        nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))?;
    }
    load(child)?;
    run_inside(&child.hooks.start_container, &child.hooks.created)?;
    let (part, errno) = try_candidates(child.program, env, child.own_program.as_ref());
    Err(at(part)(errno))
}

fn load(child: &Child<'_>) -> Result<(), Failure> {
    if let Some(filter) = child.late_filter {
        // One with a listener is loaded earlier, while the parent can take the listener's end.
        filter.load().map_err(at(Part::Attributes))?;
    }
    Ok(())
}

/// Tries each path; returns the reason that says most, which is not "not there" if anything else came up.
fn try_candidates(program: &Program, env: &PointerList, own: Option<&FileStat>) -> (Part, Errno) {
    let mut reason = Errno::ENOENT;
    for candidate in &program.candidates {
        if is_own_program(candidate, own) {
            return (Part::Source, Errno::EACCES);
        }
        match execute(candidate, &program.args, env) {
            Err(Errno::ENOENT | Errno::ENOTDIR) if program.is_searched => {}
            Err(Errno::EACCES) if program.is_searched => reason = Errno::EACCES,
            Err(errno) => return (Part::Whole, errno),
        }
    }
    (Part::Whole, reason)
}

/// Whether there is a program to execute, as far as can be seen without doing it.
pub(super) fn find_program(program: &Program, own: Option<&FileStat>) -> Result<(), (Part, Errno)> {
    let mut reason = Errno::ENOENT;
    for candidate in &program.candidates {
        if is_own_program(candidate, own) {
            return Err((Part::Source, Errno::EACCES));
        }
        match faccessat(AT_FDCWD, candidate.as_c_str(), AccessFlags::X_OK, AtFlags::AT_EACCESS) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => reason = Errno::EACCES,
            // Anything else is better told by the attempt.
            Ok(()) | Err(_) => return Ok(()),
        }
    }
    Err((Part::Whole, reason))
}

fn is_own_program(candidate: &CStr, own: Option<&FileStat>) -> bool {
    let (Some(own), Ok(found)) = (own, nix::sys::stat::stat(candidate)) else { return false };
    (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino)
}
