//! Our ends of a command's streams.

use std::{io, os::fd::OwnedFd};

use nix::{errno::Errno, fcntl::OFlag, unistd::pipe2};

use crate::{
    model::exec::ExecRequest,
    runtime::{ExecError, Stdio, Stream},
    shim::container::{never_wait, output, read_output},
};

/// Bytes that are read at once.
pub(super) const CHUNK: usize = 16 << 10;

/// Our ends of the command's streams; none where there is none, or no more.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) input: Option<OwnedFd>,
    pub(super) output: Option<OwnedFd>,
    pub(super) errors: Option<OwnedFd>,
}

impl Ends {
    /// Pipes, and the command's ends of them.
    pub(super) fn pipes(&mut self, request: &ExecRequest) -> Result<Stdio, ExecError> {
        let stdin = if request.input {
            let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(ExecError::Make)?;
            never_wait(&write).map_err(|error| make(&error))?;
            self.input = Some(write);
            Stream::Fd(read)
        } else {
            Stream::Null
        };
        let (our_output, stdout) = output().map_err(|error| make(&error))?;
        let (our_errors, stderr) = output().map_err(|error| make(&error))?;
        (self.output, self.errors) = (Some(our_output), Some(our_errors));
        Ok(Stdio { stdin, stdout: Stream::Fd(stdout), stderr: Stream::Fd(stderr) })
    }

    /// The terminal that the command has been given.
    pub(super) fn terminal(&mut self, master: &OwnedFd) -> Result<(), ExecError> {
        let copy = || {
            let copy = master.try_clone()?;
            never_wait(&copy)?;
            Ok(copy)
        };
        (self.input, self.output) =
            (Some(copy().map_err(|error| make(&error))?), Some(copy().map_err(|error| make(&error))?));
        Ok(())
    }
}

fn make(error: &io::Error) -> ExecError {
    ExecError::Make(error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw))
}

/// Reads what is there. None when there is nothing now; an end that is over is taken away.
pub(super) fn read_end(end: &mut Option<OwnedFd>) -> Option<Vec<u8>> {
    let mut chunk = vec![0; CHUNK];
    match read_output(end.as_ref()?, &mut chunk) {
        Ok(0) => *end = None,
        Ok(count) => {
            chunk.truncate(count);
            return Some(chunk);
        }
        Err(error) if is_passing(&error) => {}
        Err(_) => *end = None,
    }
    None
}

/// Whether trying again later may help.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
