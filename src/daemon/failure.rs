//! Why a daemon ended that nobody told to, and what its exit status says of it.

use std::{convert::Infallible, io, process::ExitCode};

use super::{config::ConfigError, lock::LockError};
use crate::{
    agent::AgentError,
    api::{KeysError, ListenError, TlsError},
    net::NetError,
    store::{OpenError, WriteError},
};

/// Wrong configuration: nothing that starting again would change.
const MISCONFIGURED: u8 = 2;

/// Why a daemon ended that nobody told to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its directories cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store takes no write.
    #[error("write to the store")]
    Write(#[from] WriteError<Infallible>),
    /// The agent cannot work.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Who is to make control groups does not.
    #[error(
        "[containers] has cgroup_driver = \"systemd\", and systemd makes no control groups here: {0}; run systemd with \
         dbus, or set cgroup_driver = \"files\""
    )]
    CgroupDriver(String),
    /// The keys of callers cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The API's sockets cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system does not give what every program gets.
    #[error("{what}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The network cannot be taken away.
    #[error("remove the network of the tasks")]
    Network(#[from] NetError),
    /// Not every task could be stopped.
    #[error("{tasks} tasks are not stopped yet; the next `hythe daemon --down` goes on with them")]
    Unfinished {
        /// How many.
        tasks: usize,
    },
    /// A loop ended by itself.
    #[error("the {0} loop ended")]
    LoopEnded(&'static str),
}

impl DaemonError {
    /// What a service manager is to think of it.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Keys(_) | Self::Tls(_) => ExitCode::from(MISCONFIGURED),
            Self::Lock(_)
            | Self::Store(_)
            | Self::Write(_)
            | Self::Agent(_)
            | Self::CgroupDriver(_)
            | Self::Listen(_)
            | Self::System { .. }
            | Self::Network(_)
            | Self::Unfinished { .. }
            | Self::LoopEnded(_) => ExitCode::FAILURE,
        }
    }
}
