//! What a container's first process is, and our own program for the case that it is one of ours.

use std::env;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::kernel::mount::{clone_closed, is_closed};
use crate::kernel::process::{PointerList, execute_open, set_name};

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

/// Executes this process's program again, with the same words, through a mount that cannot be written through, unless
/// it has been already.
///
/// What is executed in a container can be led to whoever executes it: a script for `#!/proc/self/exe` has the kernel
/// run our program there, where others can open it. This way there is nothing to write to. Who may make no mounts goes
/// on as before; then the program is not root's own, or out of its user's reach.
pub fn close_own_program() {
    if is_closed(OWN_PROGRAM) == Ok(true) {
        // It was executed by the number of a descriptor, by which it would be shown.
        let _ = set_name(c"hythe");
        return;
    }
    let Ok(own) = own_program() else { return };
    let all = |words: &mut dyn Iterator<Item = OsString>| {
        words.map(|word| CString::new(word.into_vec())).collect::<Result<_, _>>().map(PointerList::new)
    };
    let pair = |(name, value): (OsString, OsString)| [name, value].join(OsStr::new("="));
    if let (Ok(args), Ok(env)) = (all(&mut env::args_os()), all(&mut env::vars_os().map(pair))) {
        let _ = execute_open(own, &args, &env);
    }
}

const OWN_PROGRAM: &CStr = c"/proc/self/exe";

/// Our own program behind a mount of its own that cannot be written through. Opened once, as it can be executed often.
fn own_program() -> Result<BorrowedFd<'static>, Errno> {
    static OWN: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(own) = OWN.get() {
        return Ok(own.as_fd());
    }
    let own = if is_closed(OWN_PROGRAM)? {
        // Linux before 6.15 copies no mount that is not attached.
        open(OWN_PROGRAM, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?
    } else {
        clone_closed(OWN_PROGRAM)?
    };
    Ok(OWN.get_or_init(|| own).as_fd())
}
