//! The standard streams of a process that is about to be made.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::kernel::process::{self, dup_above_stdio};

/// Where one of the standard streams goes.
#[derive(Debug, Default)]
pub enum Stream {
    /// Nowhere.
    #[default]
    Null,
    /// Where the caller's goes.
    Inherit,
    /// To this open file.
    Fd(OwnedFd),
}

/// The three standard streams.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Standard input.
    pub stdin: Stream,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
}

impl Stdio {
    /// All three where the caller's go.
    #[must_use]
    pub fn inherit() -> Self {
        Self { stdin: Stream::Inherit, stdout: Stream::Inherit, stderr: Stream::Inherit }
    }

    /// The descriptors, none of them in the way of the child's own three.
    pub(super) fn open(self) -> Result<Streams, Errno> {
        let open_one = |stream| match stream {
            Stream::Null => {
                let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
                dup_above_stdio(null).map(Some)
            }
            Stream::Inherit => Ok(None),
            Stream::Fd(fd) => dup_above_stdio(fd).map(Some),
        };
        Ok(Streams([open_one(self.stdin)?, open_one(self.stdout)?, open_one(self.stderr)?]))
    }
}

/// Opened standard streams; `None` is the caller's own.
pub(super) struct Streams([Option<OwnedFd>; 3]);

impl Streams {
    pub(super) fn borrow(&self) -> [BorrowedFd<'_>; 3] {
        std::array::from_fn(|number| {
            self.0[number].as_ref().map_or_else(|| process::own_stream(number), AsFd::as_fd)
        })
    }
}
