//! What a container's first process is, and our own program for the case that it is one of ours.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;

use crate::kernel::mount::{Attributes, clone_tree, set_attributes};

/// What a container's first process is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum FirstProcess {
    /// Its program.
    #[default]
    Program,
    /// A small one of ours, `hythe init`, that forwards signals to the program and reaps.
    Attendant,
    /// The same without a program: it holds the namespaces until it is killed. What the specification wants executed
    /// is not.
    Pause,
}

impl FirstProcess {
    /// Our own program, if it is needed.
    pub(super) fn open(self) -> Result<Option<BorrowedFd<'static>>, Errno> {
        match self {
            Self::Program => Ok(None),
            Self::Attendant | Self::Pause => own_program().map(Some),
        }
    }
}

/// Opens our own program for first processes to come, as long as it can be: not after this process has left the mount
/// namespace that it was executed in.
pub fn hold_own_program() -> Result<(), Errno> {
    own_program().map(drop)
}

/// Our own program behind a mount of its own that cannot be written through. Opened once, as it can be executed often.
fn own_program() -> Result<BorrowedFd<'static>, Errno> {
    static OWN: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(own) = OWN.get() {
        return Ok(own.as_fd());
    }
    let own = clone_tree(c"/proc/self/exe", false)?;
    let closed = Attributes::READ_ONLY.then(Attributes::NO_SUID).then(Attributes::NO_DEV);
    set_attributes(own.as_fd(), closed, None, false)?;
    Ok(OWN.get_or_init(|| own).as_fd())
}
