//! The other end of the wire: a client of the API on the unix socket.
//!
//! One connection a request: a local socket costs microseconds, and a connection that is held would have to be
//! repaired after every restart of the daemon. ECS operations go through [`Client::call`]; what hythe has beside
//! them (images, logs, events) through [`Client::get`], [`Client::send`] and, where the answer goes on for a while,
//! [`Client::lines`].
//!
//! The client takes and returns JSON as it is on the wire. It knows nothing of what the operations mean.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::model::exec::{ExecRequest, PROTOCOL};

const TARGET: &str = "AmazonEC2ContainerServiceV20141113";
const ECS_JSON: &str = "application/x-amz-json-1.1";

/// The longest path that fits a socket address.
const SUN_PATH: usize = 107;

/// Why there is no answer, or what the daemon answered instead.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("reach the daemon at {}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon refused, in ECS's words.
    #[error("{message}")]
    Refused {
        /// Such as `ClusterNotFoundException`.
        code: String,
        /// A sentence.
        message: String,
    },
    /// The connection ended in the middle of an answer.
    #[error("talk to the daemon")]
    Broken(#[source] hyper::Error),
    /// The answer is not what the protocol says.
    #[error("the daemon's answer is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// The request cannot be written down: a path that is no path.
    #[error("ask the daemon for {path:?}")]
    BadRequest {
        /// The path.
        path: String,
        /// Why.
        source: hyper::http::Error,
    },
}

impl ClientError {
    /// ECS's word for the error, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::Unreachable { .. } | Self::Broken(_) | Self::NotJson(_) | Self::BadRequest { .. } => None,
        }
    }
}

/// A client of one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the daemon that listens at `socket`. Nothing is connected yet.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Calls an ECS operation, such as `RunTask`.
    pub async fn call(&self, operation: &str, input: Value) -> Result<Value, ClientError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header(CONTENT_TYPE, ECS_JSON)
            .header("X-Amz-Target", format!("{TARGET}.{operation}"));
        whole(self.ask("/", request, Some(input)).await?).await
    }

    /// Reads one of hythe's own addresses.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.send(Method::GET, path, None).await
    }

    /// Asks one of hythe's own addresses to do something, and waits for the whole answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, ClientError> {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        whole(self.ask(path, request, body).await?).await
    }

    /// The same where the answer is a line of JSON at a time.
    pub async fn lines(&self, method: Method, path: &str, body: Option<Value>) -> Result<Lines, ClientError> {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        let answer = self.ask(path, request, body).await?;
        Ok(Lines { body: answer.into_body(), buffer: BytesMut::new(), ended: false })
    }

    /// Asks for a connection that is one command's own, whose bytes are the frames of [`crate::model::exec`].
    pub async fn exec(&self, path: &str, request: &ExecRequest) -> Result<Exchange, ClientError> {
        let body = serde_json::to_value(request).map_err(ClientError::NotJson)?;
        let head = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, PROTOCOL);
        let answer = self.ask(path, head, Some(body)).await?;
        let upgraded = hyper::upgrade::on(answer).await.map_err(ClientError::Broken)?;
        Ok(TokioIo::new(upgraded))
    }

    async fn ask(
        &self,
        path: &str,
        request: hyper::http::request::Builder,
        body: Option<Value>,
    ) -> Result<Response<Incoming>, ClientError> {
        let bytes = body.map_or_else(Bytes::new, |value| Bytes::from(value.to_string()));
        let request = request
            .header(HOST, "localhost")
            .body(Full::new(bytes))
            .map_err(|source| ClientError::BadRequest { path: path.to_owned(), source })?;
        let stream = connect(&self.socket)
            .await
            .map_err(|source| ClientError::Unreachable { socket: self.socket.clone(), source })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Broken)?;
        // Ends by itself when the answer has been read or dropped.
        tokio::spawn(connection.with_upgrades());
        let answer = sender.send_request(request).await.map_err(ClientError::Broken)?;
        let is_agreed = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        if is_agreed || answer.status().is_success() { Ok(answer) } else { Err(refusal(answer).await) }
    }
}

/// A connection that is one command's own.
pub type Exchange = TokioIo<hyper::upgrade::Upgraded>;

/// An answer that comes line by line.
pub struct Lines {
    body: Incoming,
    buffer: BytesMut,
    ended: bool,
}

impl Lines {
    /// The next line, or none at the end. A line `{"__type": …, "message": …}` is a refusal that came late.
    pub async fn next(&mut self) -> Result<Option<Value>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return parse_line(&line).map(Some);
            }
            if self.ended {
                let rest = self.buffer.split();
                return if rest.trim_ascii().is_empty() { Ok(None) } else { parse_line(&rest).map(Some) };
            }
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame.map_err(ClientError::Broken)?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                None => self.ended = true,
            }
        }
    }
}

fn parse_line(line: &[u8]) -> Result<Value, ClientError> {
    let value: Value = serde_json::from_slice(line).map_err(ClientError::NotJson)?;
    if value.get("__type").is_some() { Err(refused(&value, StatusCode::OK)) } else { Ok(value) }
}

async fn whole(answer: Response<Incoming>) -> Result<Value, ClientError> {
    let bytes = answer.into_body().collect().await.map_err(ClientError::Broken)?.to_bytes();
    if bytes.trim_ascii().is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(&bytes).map_err(ClientError::NotJson)
}

async fn refusal(answer: Response<Incoming>) -> ClientError {
    let status = answer.status();
    match whole(answer).await {
        Ok(body) => refused(&body, status),
        Err(error) => error,
    }
}

/// The refusal in an error body. Services may write a name space before the code and a link after it.
fn refused(body: &Value, status: StatusCode) -> ClientError {
    let kind = body["__type"].as_str().unwrap_or_default();
    let code = kind.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
    let message = body["message"].as_str().or_else(|| body["Message"].as_str()).unwrap_or_default();
    ClientError::Refused {
        code: if code.is_empty() { status.to_string() } else { code.to_owned() },
        message: if message.is_empty() {
            format!("the daemon answered {status}")
        } else {
            message.to_owned()
        },
    }
}

/// Connects, also where the path is longer than a socket address: then through a handle to its directory.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    if socket.as_os_str().as_bytes().len() <= SUN_PATH {
        return UnixStream::connect(socket).await;
    }
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let directory = File::open(directory)?;
    UnixStream::connect(Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name)).await
}

#[cfg(test)]
mod tests;
