//! Sockets to serve on.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io,
    net::SocketAddr,
    os::{
        fd::AsRawFd as _,
        unix::{fs::PermissionsExt as _, net::UnixStream as BlockingStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::{TcpListener, UnixListener};

use super::{identity::Access, keys::Keys, tls::Tls};

/// Who may call over TCP.
#[derive(Clone, Debug)]
pub enum Guard {
    /// Everybody on this host.
    Loopback,
    /// Whoever signs with one of these keys.
    Keys(Arc<Keys>),
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
    /// A TCP socket, who may call over it, and TLS where there is a certificate.
    Tcp(TcpListener, Guard, Option<Tls>),
}

impl Listener {
    /// A unix socket at `path`, mode 0660, in a directory that is made if it is not there. A socket that nobody
    /// answers at is replaced. The path may be longer than the 107 bytes of a socket address.
    pub fn unix(path: &Path, access: Access) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Unix { path: path.to_owned(), source };
        let no_name = || failed(io::Error::from(io::ErrorKind::InvalidInput));
        let name = path.file_name().ok_or_else(no_name)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(failed)?;
        let directory = File::open(directory).map_err(failed)?;
        let short = through(&directory, name);
        match BlockingStream::connect(&short) {
            Ok(_) => return Err(ListenError::InUse(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(&short).map_err(failed)?;
        if let Some(gid) = access.gid {
            std::os::unix::fs::chown(path, None, Some(gid)).map_err(failed)?;
        }
        fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(failed)?;
        Ok(Self::Unix(listener, access))
    }

    /// A TCP socket; without keys on loopback only.
    pub async fn tcp(address: SocketAddr, guard: Guard, tls: Option<Tls>) -> Result<Self, ListenError> {
        if matches!(guard, Guard::Loopback) && !address.ip().is_loopback() {
            return Err(ListenError::NotLoopback(address));
        }
        let failed = |source| ListenError::Tcp { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Self::Tcp(listener, guard, tls))
    }

    /// The address of a TCP socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix(..) => None,
            Self::Tcp(listener, ..) => listener.local_addr().ok(),
        }
    }
}

/// A path of fixed length to `name` in a directory that is open.
fn through(directory: &File, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name)
}
