//! One task's parent: one thread, no async runtime, outlives the daemon.
//!
//! `hythe shim DIRECTORY` reads the task's [`spec`], starts its containers as `plan::task` says, and stays until the
//! last has ended. What it sees goes into the [`ledger`] first and then to whoever is connected ([`protocol`]). The
//! output of the containers goes to files ([`logs`]). What a container asks about its task the shim answers ([`metadata`]).
//!
//! Three open files come with a shim: as its standard input the task's network namespace, or, on the host's network, the
//! socket at which the task asks about itself; as its standard output the first connection; and as its standard error a
//! file for the little it has to say to people. Its containers die with it: the kernel kills them when the shim is killed.
//!
//! [`client`] is the other end, for the agent: it starts shims, finds them again, and reads what they saw.

use std::{
    ffi::OsString,
    io,
    net::TcpListener,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::ExitCode,
};

use nix::{
    fcntl::{OFlag, open},
    sys::stat::{Mode, SFlag, fstat, umask},
    unistd::{dup2_stdin, dup2_stdout},
};

use crate::{
    kernel::process::{dup_above_stdio, set_name},
    model::report::chain,
};

pub mod alive;
mod bundle;
pub mod client;
mod clock;
mod connections;
mod container;
pub mod defaults;
pub mod filter;
pub mod groups;
pub mod init;
pub mod inside;
pub mod ledger;
pub mod logs;
pub mod metadata;
mod nearby;
pub mod protocol;
mod session;
mod setup;
mod shared;
mod siblings;
mod source;
pub mod spec;
pub mod storage;
mod supervise;

use ledger::Ledger;
use spec::{Network, TaskSpec};
use supervise::Supervisor;

/// Runs the shim of the task whose directory is the one argument.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // It was executed by the number of a descriptor, by which it would be shown.
    let _ = set_name(c"hythe");
    let mut args = args.into_iter();
    let (Some(directory), None) = (args.next(), args.next()) else {
        eprintln!("usage: hythe shim DIRECTORY");
        return ExitCode::from(2);
    };
    let inherited = match Inherited::take() {
        Ok(inherited) => inherited,
        Err(error) => {
            eprintln!("take the files that came with the shim: {error}");
            return ExitCode::FAILURE;
        }
    };
    umask(Mode::from_bits_retain(0o022));
    match begin(Path::new(&directory), inherited.network, inherited.door) {
        Ok(mut supervisor) => {
            inherited.connection.into_iter().for_each(|connection| supervisor.adopt(connection));
            supervisor.run();
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            inherited.connection.into_iter().for_each(|connection| connections::refuse(connection, &reason));
            ExitCode::FAILURE
        }
    }
}

/// Everything before the first container; otherwise a sentence.
fn begin(
    directory: &Path,
    network: Option<OwnedFd>,
    door: Option<TcpListener>,
) -> Result<Supervisor, String> {
    let spec = TaskSpec::load(directory).map_err(|error| chain(&error))?;
    let network = network.filter(|_| spec.network == Network::Inherited);
    let ledger = Ledger::open(&spec.ledger).map_err(|error| chain(&error))?;
    Supervisor::begin(spec, network, door, ledger).map_err(|error| chain(&error))
}

/// The files that came with the shim, out of the way of the standard streams.
struct Inherited {
    network: Option<OwnedFd>,
    door: Option<TcpListener>,
    connection: Option<OwnedFd>,
}

impl Inherited {
    fn take() -> io::Result<Self> {
        let is = |fd: &dyn AsFd, kind: SFlag| -> io::Result<bool> {
            Ok(SFlag::from_bits_truncate(fstat(fd.as_fd())?.st_mode) & SFlag::S_IFMT == kind)
        };
        let keep =
            |fd: &dyn AsFd| -> io::Result<OwnedFd> { Ok(dup_above_stdio(fd.as_fd().try_clone_to_owned()?)?) };
        let (stdin, stdout) = (io::stdin(), io::stdout());
        // A namespace is a regular file of its own file system; without either the standard input is `/dev/null`.
        let network = is(&stdin, SFlag::S_IFREG)?.then(|| keep(&stdin)).transpose()?;
        let door = is(&stdin, SFlag::S_IFSOCK)?.then(|| keep(&stdin).map(TcpListener::from)).transpose()?;
        let connection = is(&stdout, SFlag::S_IFSOCK)?.then(|| keep(&stdout)).transpose()?;
        let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        Ok(Self { network, door, connection })
    }
}
