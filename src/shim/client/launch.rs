//! Starting a shim.
//!
//! It is this program once more, started with three open files and nothing else: the task's network namespace (on the
//! host's network the socket of its metadata) as its standard input, one end of a socket pair as its standard output,
//! which is the first connection, and a file in the task's directory as its standard error. So a start needs no second
//! round to connect, and a shim that cannot begin says why on the connection that is there already.

use std::{
    ffi::CString,
    io::Write as _,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt as _, net::UnixStream as StdUnixStream},
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use tokio::net::UnixStream;

use super::{ClientError, Connection};
use crate::{
    kernel::{
        cgroup::{CgroupPath, Layout},
        mount::clone_closed,
        process::{Child, Spawn, spawn as spawn_process},
        readiness::Readable,
    },
    shim::{
        alive,
        protocol::{Credentials, Order},
        spec::TaskSpec,
    },
};

/// What is needed to start a shim.
#[derive(Debug)]
pub struct Launch {
    /// This program.
    pub program: PathBuf,
    /// The task's directory, with its `spec.json`.
    pub directory: PathBuf,
    /// The task's network namespace, see [`Inherited`](crate::shim::spec::Network::Inherited); on the host's network the socket at which
    /// the task asks about itself.
    pub network: Option<OwnedFd>,
    /// The credentials of the task's role, which the shim has before it starts a container.
    pub credentials: Option<Credentials>,
}

/// Starts the shim of the task in `launch.directory`, and returns once it has answered.
pub async fn spawn(launch: Launch) -> Result<Connection, ClientError> {
    let spec = TaskSpec::load(&launch.directory)?;
    // A scope is made by systemd, around the shim.
    let group = spec.systemd.is_none().then(|| spec.shim_cgroup.clone());
    let (ours, child) = tokio::task::spawn_blocking(move || execute(&launch, group.as_deref()))
        .await
        .map_err(|_| ClientError::Gone(spec.task.clone()))??;
    reap(child);
    let stream =
        UnixStream::from_std(ours).map_err(|source| ClientError::Talk { task: spec.task.clone(), source })?;
    Connection::first(&(&spec).into(), stream).await
}

/// Executes the program and keeps the other end of its standard output.
fn execute(launch: &Launch, group: Option<&Path>) -> Result<(StdUnixStream, Child), ClientError> {
    let failed = |source| ClientError::Spawn { program: launch.program.clone(), source };
    let (ours, theirs) = StdUnixStream::pair().map_err(failed)?;
    if let Some(credentials) = &launch.credentials {
        let order = Order::Credentials { credentials: Box::new(credentials.clone()) };
        // A socket holds more than the longest credentials before anybody reads.
        order.to_line().and_then(|line| (&ours).write_all(&line)).map_err(failed)?;
    }
    ours.set_nonblocking(true).map_err(failed)?;
    let errors = alive::claim(&launch.directory).map_err(failed)?;
    let mut fds = vec![(theirs.as_fd(), 1), (errors.as_fd(), 2)];
    fds.extend(launch.network.as_ref().map(|network| (network.as_fd(), 0)));
    let args = ["hythe".into(), "shim".into(), launch.directory.clone().into_os_string()];
    // Where systemd is asked, and where to die, in tests; nothing else of our environment is the shim's business.
    let passed = |name: &str| std::env::var_os(name).map(|value| (name.into(), value));
    let env: Vec<_> = ["DBUS_SYSTEM_BUS_ADDRESS", "HYTHE_KILL_AT"].into_iter().filter_map(passed).collect();
    let born_in = group.and_then(group_of_shims);
    // What a container gets to execute the shim's own program by leads to this mount, through which nothing is written.
    let closed = CString::new(launch.program.as_os_str().as_bytes()).ok();
    let closed = closed.and_then(|program| clone_closed(&program).ok());
    let by_number = closed.as_ref().map(|fd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())));
    let child = spawn_process(&Spawn {
        program: by_number.as_deref().or(Some(&launch.program)),
        args: &args,
        env: &env,
        fds: &fds,
        dir: Some(Path::new("/")),
        new_session: true,
        cgroup: born_in.as_ref().map(AsFd::as_fd),
    })?;
    Ok((ours, child))
}

/// The version 2 control group that shims are born in. Without one the shim moves there itself, and it is the shim that
/// tells when it cannot.
fn group_of_shims(group: &Path) -> Option<OwnedFd> {
    let layout = Layout::detect().ok()?;
    let path = CgroupPath::parse(&group.to_string_lossy()).ok()?;
    let directory = layout.group(&path).unified_dir()?;
    if !directory.is_dir() {
        layout.create(&path).ok()?;
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(&directory, flags, Mode::empty()).ok()
}

/// Waits for the end of a shim that this process started, so that it does not stay behind as a zombie.
fn reap(child: Child) {
    tokio::spawn(async move {
        let Ok(ended) = Readable::register(child.pidfd.as_fd()) else { return };
        while let Ok(None) = child.pidfd.try_wait() {
            if ended.wait().await.is_err() {
                return;
            }
        }
    });
}
