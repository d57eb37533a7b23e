//! Making the process of a container: in the right control groups and namespaces from its first moment.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{pipe2, read, write};

use super::create::CreateError;
use super::handshake::{self, ChildEnd, Gate, ParentEnd};
use super::init::{self, Brought};
use super::steps::{Plan, Users};
use super::streams::Stdio;
use crate::kernel::cgroup::{Group, SystemdError};
use crate::kernel::namespace::{self, Namespaces};
use crate::kernel::process::{self, CloneRequest, Pid, Pidfd};

/// Making the process.
pub(super) struct Launch<'a> {
    pub plan: &'a Plan,
    pub brought: &'a Brought,
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
        let request = CloneRequest {
            namespaces: self.plan.clone,
            cgroup: born_in.as_ref().map(AsFd::as_fd),
            is_sibling: false,
        };
        let gate = listener.as_ref().map_or(Gate::Line, |listener| Gate::Socket(listener.as_fd()));
        let to_parent = ChildEnd { line: theirs.as_fd(), gate };
        let mut child = init::Child::new(self.plan, self.brought, streams.borrow(), to_parent);
        child.parents_end = Some(ours.as_raw_fd());
        child.attendant = self.attendant;
        let first = self.first()?;
        let born = self.born(&request, &first, |request| process::clone(request, || init::run(&child)))?;
        Ok((born, ours))
    }

    /// Has `make` make the process: here, or by a helper from where we cannot.
    fn born(
        &self,
        request: &CloneRequest<'_>,
        first: &[First<'_>],
        make: impl Fn(&CloneRequest<'_>) -> Result<process::Child, Errno>,
    ) -> Result<process::Child, CreateError> {
        let of_users = |path: &Path| {
            let path = path.to_path_buf();
            move |source| CreateError::Namespace { path, source }
        };
        let joined = match &self.plan.users {
            Users::Joined(path) => Some((path, namespace::open(path).map_err(of_users(path))?)),
            Users::Host | Users::New(_) => None,
        };
        let as_ours = CloneRequest { is_sibling: true, ..*request };
        let enter = || {
            // What is born with other users, who may have rights over it in a pid namespace that they know, is closed to
            // them before it does anything.
            process::undumpable()?;
            match &joined {
                Some((_, users)) => enter_users(users, first),
                None => first.iter().try_for_each(|one| namespace::enter(&one.file, one.kind)),
            }
        };
        let born = if joined.is_none() && (first.is_empty() || may_come_back()) {
            born_elsewhere(first, || make(request))
        } else {
            through_helper(|_| Ok(()), || enter().and_then(|()| make(&as_ours))).map_err(
                |errno| match &joined {
                    Some((path, _)) if errno != Errno::EACCES => of_users(path)(errno),
                    Some(_) | None => CreateError::Clone(errno),
                },
            )
        };
        match (born, self.group.scope()) {
            (Err(CreateError::Clone(Errno::EACCES)), Some(scope)) => Ok(through_helper(
                |helper| scope.take_in(helper).map_err(Unborn::Moved),
                || enter().and_then(|()| make(&CloneRequest { cgroup: None, ..as_ours })),
            )?),
            (born, _) => born,
        }
    }

    /// The namespaces to be born in.
    fn first(&self) -> Result<Vec<First<'_>>, CreateError> {
        let pid = self.plan.pid_namespace.iter().map(|path| (Namespaces::PID, path));
        let all = self.plan.first.iter().map(|(kind, path)| (*kind, path)).chain(pid);
        all.map(|(kind, path)| {
            let error = |source| CreateError::Namespace { path: path.clone(), source };
            Ok(First { kind, path, file: namespace::open(path).map_err(error)? })
        })
        .collect()
    }
}

/// A namespace to be born in.
struct First<'a> {
    kind: Namespaces,
    path: &'a Path,
    file: OwnedFd,
}

/// Whether we may enter our own namespaces, and so come back from others. An ordinary user has rights over those of their
/// user namespace only, and not over the host's that they are in (setns(2)).
pub(super) fn may_come_back() -> bool {
    let own = namespace::open(Path::new("/proc/self/ns/pid"));
    own.and_then(|own| namespace::enter(&own, Namespaces::PID)) != Err(Errno::EPERM)
}

/// Makes a child while this process is in other namespaces, and comes back.
fn born_elsewhere(
    first: &[First<'_>],
    make: impl FnOnce() -> Result<process::Child, Errno>,
) -> Result<process::Child, CreateError> {
    let mut own = Vec::new();
    for one in first {
        let error = |source| CreateError::Namespace { path: one.path.to_path_buf(), source };
        let name = one.kind.names().first().copied().unwrap_or_default();
        let back = namespace::open(&Path::new("/proc/self/ns").join(name)).map_err(error)?;
        own.push((one.kind, back));
    }
    let entered = first.iter().try_for_each(|one| {
        namespace::enter(&one.file, one.kind)
            .map_err(|source| CreateError::Namespace { path: one.path.to_path_buf(), source })
    });
    let born = entered.and_then(|()| make().map_err(CreateError::Clone));
    for (kind, back) in &own {
        let returned = namespace::enter(back, *kind);
        returned.map_err(|source| CreateError::Prepare { what: "come back from a namespace", source })?;
    }
    born
}

/// Has a helper make a child, as ours, from where we cannot: from a user namespace, out of which there is no way back, or
/// from a scope that we may not put it into ourselves. `before` is done with the helper's number before it begins.
pub(super) fn through_helper<E: From<Errno>>(
    before: impl FnOnce(Pid) -> Result<(), E>,
    make: impl FnOnce() -> Result<process::Child, Errno>,
) -> Result<process::Child, E> {
    let (answer, question) = pipe2(OFlag::O_CLOEXEC)?;
    let (gate, opener) = pipe2(OFlag::O_CLOEXEC)?;
    let mut opener = Some(opener);
    let helper = process::clone(&CloneRequest::default(), || {
        drop(opener.take());
        // Without the byte the parent has given up, or is gone.
        if read(&gate, &mut [0]) != Ok(1) {
            return 1;
        }
        let born = make().map_or_else(|errno| -(errno as i32), |child| child.pid.as_raw());
        // Without the answer the parent sees the end of the pipe.
        let _ = write(&question, &born.to_le_bytes());
        0
    })?;
    drop(question);
    let begun = before(helper.pid);
    if let (Ok(()), Some(opener)) = (&begun, &opener) {
        write(opener, &[0])?;
    }
    drop(opener);
    let mut bytes = [0; 4];
    let told = read(&answer, &mut bytes);
    let _ = helper.pidfd.wait();
    begun?;
    match i32::from_le_bytes(bytes) {
        pid if told == Ok(bytes.len()) && pid > 0 => {
            // Our child, which nobody else reaps, so the number is still its own.
            let pid = Pid::from_raw(pid);
            Ok(process::Child { pid, pidfd: Pidfd::open(pid)? })
        }
        errno if told == Ok(bytes.len()) => Err(Errno::from_raw(-errno).into()),
        _ => Err(Errno::ECHILD.into()),
    }
}

/// Why a child was not made in a scope.
pub(super) enum Unborn {
    /// systemd did not move its maker there.
    Moved(SystemdError),
    /// The kernel did not make it.
    Made(Errno),
}

impl From<Errno> for Unborn {
    fn from(errno: Errno) -> Self {
        Self::Made(errno)
    }
}

impl From<Unborn> for CreateError {
    fn from(unborn: Unborn) -> Self {
        match unborn {
            Unborn::Moved(err) => Self::Cgroup(err.into()),
            Unborn::Made(errno) => Self::Clone(errno),
        }
    }
}

/// Enters a user namespace and others: those that belong to it once it is entered, the host's before.
fn enter_users(users: &OwnedFd, first: &[First<'_>]) -> Result<(), Errno> {
    let is_left = |one: &&First<'_>| namespace::enter(&one.file, one.kind).is_err();
    // Entering one twice changes nothing, so no list is kept.
    let left = first.iter().filter(is_left).count();
    namespace::enter(users, Namespaces::USER)?;
    if left == 0 {
        return Ok(());
    }
    first.iter().try_for_each(|one| match namespace::enter(&one.file, one.kind) {
        // The host's, entered before.
        Err(Errno::EPERM) => Ok(()),
        other => other,
    })
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
