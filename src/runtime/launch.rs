//! Making the process of a container: in the right control groups and namespaces from its first moment.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::create::{CreateError, Stdio};
use super::handshake::{self, ChildEnd, Gate, ParentEnd};
use super::init;
use super::steps::Plan;
use crate::kernel::cgroup::Group;
use crate::kernel::namespace::{self, Namespaces};
use crate::kernel::process::{self, CloneRequest};

/// Making the process.
pub(super) struct Launch<'a> {
    pub plan: &'a Plan,
    pub group: &'a Group,
    pub socket: Option<&'a Path>,
    pub attendant: Option<init::Attendant<'a>>,
}

impl Launch<'_> {
    pub(super) fn run(&self, stdio: Stdio) -> Result<(process::Child, ParentEnd), CreateError> {
        let prepare = |what| move |source| CreateError::Prepare { what, source };
        let streams = stdio.open().map_err(prepare("open the standard streams"))?;
        let (ours, theirs) = handshake::line().map_err(prepare("make a socket pair"))?;
        let listener = self.socket.map(handshake::listen).transpose();
        let listener = listener.map_err(prepare("make the start socket"))?;
        let born_in = open_dir(self.group.unified_dir().as_deref())
            .map_err(prepare("open the version 2 control group"))?;
        let request = CloneRequest { namespaces: self.plan.clone, cgroup: born_in.as_ref().map(AsFd::as_fd) };
        let gate = listener.as_ref().map_or(Gate::Line, |listener| Gate::Socket(listener.as_fd()));
        let to_parent = ChildEnd { line: theirs.as_fd(), gate };
        let mut child = init::Child::new(self.plan, streams.borrow(), to_parent);
        child.attendant = self.attendant;
        let made = match &self.plan.pid_namespace {
            None => process::clone(&request, || init::run(&child)).map_err(CreateError::Clone)?,
            Some(path) => {
                let error = |source| CreateError::PidNamespace { path: path.clone(), source };
                let target = namespace::open(path).map_err(error)?;
                born_in_pid_namespace(
                    || namespace::enter(&target, Namespaces::PID),
                    || process::clone(&request, || init::run(&child)),
                )
                .map_err(error)?
            }
        };
        Ok((made, ours))
    }
}

/// Makes children for another pid namespace while `make` runs, and for our own again afterwards.
pub(super) fn born_in_pid_namespace<T>(
    enter: impl FnOnce() -> Result<(), Errno>,
    make: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let own = namespace::open(Path::new("/proc/self/ns/pid"))?;
    enter()?;
    let child = make();
    namespace::enter(&own, Namespaces::PID)?;
    child
}

pub(super) fn open_dir(path: Option<&Path>) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    path.map(|path| open(path, flags, Mode::empty())).transpose()
}
