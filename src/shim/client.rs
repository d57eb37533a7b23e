//! The daemon's end: starts shims, finds them again, takes their facts.
//!
//! [`spawn`] starts one, [`find`] and [`connect`] meet one that runs, and both give a [`Connection`]: facts in their order
//! and without a gap, and a way for orders. [`exec`] has a command run in a container, over a stream of its own.

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::UnixStream, time::timeout};

use super::{
    alive,
    ledger::LedgerError,
    nearby::Nearby,
    protocol::{LINE_MAX, Order},
    spec::{SpecError, TaskSpec},
};
use crate::{
    kernel::{
        event::{Watch, Watcher},
        process::SpawnError,
        readiness::Readable,
    },
    model::{
        exec::{ExecRequest, ExecUser},
        ids::{ContainerName, TaskId},
    },
};

mod connection;
mod launch;

pub use connection::Connection;
pub use launch::{Launch, spawn};

/// How long a shim may take to say that it is there.
const HELLO: Duration = Duration::from_secs(10);

/// A shim that cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: it has ended, or never began.
    #[error("the shim of task {0} is gone")]
    Gone(TaskId),
    /// The program could not be executed.
    #[error(transparent)]
    Execute(#[from] SpawnError),
    /// What the program needs could not be made.
    #[error("prepare to start {} as a shim", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It said why it cannot begin.
    #[error("{0}")]
    Refused(String),
    /// It said nothing in time.
    #[error("the shim of task {0} does not answer")]
    Silent(TaskId),
    /// It speaks another language.
    #[error("the shim of task {task} said something else than its welcome")]
    Confused {
        /// Whose shim.
        task: TaskId,
    },
    /// The command is longer than the shim reads.
    #[error("a command of {length} bytes, with its variables, is too long for the shim of task {task}")]
    TooLong {
        /// Whose shim.
        task: TaskId,
        /// Its bytes.
        length: usize,
    },
    /// The socket failed.
    #[error("talk to the shim of task {task}")]
    Talk {
        /// Whose shim.
        task: TaskId,
        /// Why.
        source: io::Error,
    },
    /// The task's directory has no usable spec.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The shim is gone and its ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Where a shim is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whose shim.
    pub task: TaskId,
    /// Where it listens.
    pub socket: PathBuf,
    /// Where it keeps its facts.
    pub ledger: PathBuf,
}

impl From<&TaskSpec> for Address {
    fn from(spec: &TaskSpec) -> Self {
        Self { task: spec.task.clone(), socket: spec.socket.clone(), ledger: spec.ledger.clone() }
    }
}

/// Finds the shim at `address`, and asks for its facts from number `from` on.
pub async fn connect(address: &Address, from: u64) -> Result<Connection, ClientError> {
    let mut connection = Connection::new(address, call(address).await?, from);
    connection.greet().await?;
    Ok(connection)
}

/// Has a command run in a container of the task. What goes over the stream are the frames of [`crate::model::exec`].
pub async fn exec(
    address: &Address,
    container: &ContainerName,
    request: ExecRequest,
    user: Option<ExecUser>,
) -> Result<UnixStream, ClientError> {
    let talk = |source| ClientError::Talk { task: address.task.clone(), source };
    let order = Order::Exec { container: container.clone(), request: Box::new(request), user };
    let line = order.to_line().map_err(talk)?;
    if line.len() > LINE_MAX {
        return Err(ClientError::TooLong { task: address.task.clone(), length: line.len() });
    }
    let mut stream = call(address).await?;
    stream.write_all(&line).await.map_err(talk)?;
    Ok(stream)
}

/// Connects to the shim of the task.
async fn call(address: &Address) -> Result<UnixStream, ClientError> {
    let talk = |source: io::Error| {
        let is_gone = matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
        let task = address.task.clone();
        if is_gone { ClientError::Gone(task) } else { ClientError::Talk { task, source } }
    };
    let way = Nearby::of(&address.socket).map_err(talk)?;
    match timeout(HELLO, UnixStream::connect(way.path())).await {
        Ok(stream) => stream.map_err(talk),
        Err(_) => Err(ClientError::Silent(address.task.clone())),
    }
}

/// Like [`connect`], but a shim that lives and does not listen yet is given the time to: whoever started it may have
/// ended before it was there. `directory` is the task's.
pub async fn find(address: &Address, directory: &Path, from: u64) -> Result<Connection, ClientError> {
    match connect(address, from).await {
        Err(ClientError::Gone(task)) => match timeout(HELLO, await_shim(address, directory, from)).await {
            Ok(found) => found,
            Err(_) => Err(ClientError::Silent(task)),
        },
        found => found,
    }
}

/// Connects as soon as there is a socket, and gives up once there is no shim that could make one.
async fn await_shim(address: &Address, directory: &Path, from: u64) -> Result<Connection, ClientError> {
    let talk = |source| ClientError::Talk { task: address.task.clone(), source };
    let sockets = address.socket.parent().unwrap_or(Path::new("/"));
    let watcher = Watcher::new().map_err(|errno| talk(errno.into()))?;
    // A shim changes the mode of its socket once it listens there.
    let what = Watch::ENTRIES.and(Watch::ATTRIBUTES);
    watcher.add(sockets, what).map_err(|errno| talk(errno.into()))?;
    let news = Readable::register(watcher.as_fd()).map_err(talk)?;
    loop {
        // Asked before, because a shim that ends between the two has had its chance.
        let shims = alive::shims(directory).map_err(talk)?;
        let found = connect(address, from).await;
        let (Err(ClientError::Gone(_)), Some(shim)) = (&found, shims.first()) else { return found };
        let ended = Readable::register(shim.as_fd()).map_err(talk)?;
        tokio::select! {
            told = news.wait() => told.map_err(talk)?,
            told = ended.wait() => told.map_err(talk)?,
        }
        watcher.read().map_err(|errno| talk(errno.into()))?;
    }
}

#[cfg(test)]
mod tests;
