//! A connection that stops speaking HTTP and becomes a command's own.
//!
//! Once both sides have agreed (`101 Switching Protocols`), bytes are passed on both ways and not looked at. When the
//! client is gone, the command's side is told by the end of the stream; when the command is done, the client gets the
//! last of it and then the end.

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, HeaderValue, UPGRADE},
    upgrade::{OnUpgrade, on},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncWriteExt as _, copy, split},
    net::UnixStream,
    sync::OwnedSemaphorePermit,
};
use tracing::debug;

use super::{refused::Refused, reply::Body};
use crate::model::exec::PROTOCOL;

/// The upgrade that a request asks for, if it is one that is known.
pub(super) fn asked_for(request: &mut Request<Incoming>) -> Option<OnUpgrade> {
    let wanted = request.headers().get(UPGRADE)?;
    (wanted.as_bytes() == PROTOCOL.as_bytes()).then(|| on(request))
}

/// What is said to a request that did not ask for one and should have.
pub(super) fn not_asked_for() -> Refused {
    Refused::parameter(format!(
        "This address is a conversation: ask for it with the header Upgrade: {PROTOCOL}."
    ))
}

/// Agrees, and passes bytes on from when the client has heard so.
pub(super) fn response(
    upgrade: OnUpgrade,
    stream: UnixStream,
    permit: OwnedSemaphorePermit,
) -> Response<Body> {
    tokio::spawn(async move {
        match upgrade.await {
            Ok(client) => pass_on(TokioIo::new(client), stream).await,
            Err(error) => debug!(%error, "a client went away before its command began"),
        }
        drop(permit);
    });
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}

/// Passes on bytes until the command has said its last.
async fn pass_on(client: TokioIo<hyper::upgrade::Upgraded>, stream: UnixStream) {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_command, mut to_command) = stream.into_split();
    let asked = async {
        // However the client's side ends, the command's side hears of it, and has the last word.
        let _ = copy(&mut from_client, &mut to_command).await;
        let _ = to_command.shutdown().await;
        std::future::pending::<()>().await;
    };
    let answered = async {
        let _ = copy(&mut from_command, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::select! {
        () = asked => {}
        () = answered => {}
    }
}
