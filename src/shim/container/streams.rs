//! The standard streams of a container: pipes whose other ends the shim has, or a terminal.

use std::{io, os::fd::OwnedFd};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::{Uid, fchown, pipe2, read},
};

use crate::{
    runtime::{Stdio, Stream},
    shim::spec::ContainerSpec,
};

/// The ends of the pipes, or of the terminal once there is one: the container's and ours.
pub(super) struct Streams {
    pub(super) stdio: Stdio,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

impl Streams {
    /// Makes them. The container's belong to `owner`, the user of its process as the host numbers them: who opens
    /// `/dev/stdout` opens the pipe anew.
    pub(super) fn of(spec: &ContainerSpec, owner: u32) -> io::Result<Self> {
        if spec.tty {
            // All three are the terminal that the container makes for itself.
            return Ok(Self { stdio: Stdio::default(), stdin: None, stdout: None, stderr: None });
        }
        let (input, our_input) = if spec.open_stdin {
            let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
            (Stream::Fd(read), Some(write))
        } else {
            (Stream::Null, None)
        };
        if spec.log.is_none() {
            let stdio = Stdio { stdin: input, stdout: Stream::Null, stderr: Stream::Null };
            return Ok(Self { stdio, stdin: our_input, stdout: None, stderr: None });
        }
        let (our_stdout, stdout) = output()?;
        let (our_stderr, stderr) = output()?;
        for pipe in [&stdout, &stderr] {
            fchown(pipe, Some(Uid::from_raw(owner)), None)?;
        }
        let stdio = Stdio { stdin: input, stdout: Stream::Fd(stdout), stderr: Stream::Fd(stderr) };
        Ok(Self { stdio, stdin: our_input, stdout: Some(our_stdout), stderr: Some(our_stderr) })
    }
}

/// A pipe whose reading end, ours, never makes us wait.
pub(in crate::shim) fn output() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    never_wait(&read)?;
    Ok((read, write))
}

/// Makes reads and writes return at once.
pub(in crate::shim) fn never_wait(fd: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Reads what is there. Zero is the end; nothing yet is [`io::ErrorKind::WouldBlock`].
pub(in crate::shim) fn read_output(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    match read(fd, buffer) {
        // A terminal whose other end is gone.
        Err(Errno::EIO) => Ok(0),
        result => Ok(result?),
    }
}
