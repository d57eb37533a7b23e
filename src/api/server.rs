//! The door: how many may come, how much they may send, how long they may take.
//!
//! One task a connection, HTTP/1.1. A request's head and body have a time limit each, so a client that sends a byte
//! a minute is closed; a client that does not read its answer is closed too, with more patience where the answer is
//! a conversation. When all places are taken, connections that wait for a next request give theirs up, and who finds
//! none even so is told and sent away. Whoever may not call is told so and nothing else.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response,
    body::{Body as _, Incoming},
    header::{HOST, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::{debug, warn};

use super::{
    Api,
    beside::PREFIX,
    crowd::{Crowd, Place, Turn},
    keys::Keys,
    listen::{Guard, Listener},
    operations::TARGET,
    patience::{Patience, Patient},
    refused::{Kind, Refused},
    reply::{self, Body, ECS_JSON, Reply},
    signature::{self, Signature},
    takeover,
    tls::Tls,
};
use crate::model::{ids::uuid, reading};

/// Most bytes of a request's body.
const MOST_BYTES: usize = 1024 * 1024;

/// For the head of a request, waiting for the next one included.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// For the body of a request.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// For the handshake of TLS.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// For answers that are under way when the daemon stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Between two tries to accept when the process has no descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// How a caller came.
#[derive(Clone, Debug)]
enum Caller {
    /// Over the unix socket, and may call.
    Admitted,
    /// Over the unix socket, and may not.
    Stranger,
    /// Over TCP on loopback.
    Loopback,
    /// Over TCP, and has to sign with one of these keys.
    Unknown(Arc<Keys>),
}

/// Answers calls until `stop` is ready, then lets those under way finish for a moment.
pub async fn serve(listener: Listener, api: Arc<Api>, stop: impl Future<Output = ()> + Send) {
    let (closing, closed) = watch::channel(false);
    let mut crowd = Crowd::default();
    let door = Arc::new(Door { api, conversations: Arc::new(Semaphore::new(crowd.conversations())) });
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &mut crowd) => accepted,
        };
        match accepted {
            Ok((connection, Some(place))) => {
                let (door, closed) = (Arc::clone(&door), closed.clone());
                connections.spawn(async move { connection.serve(door, closed, place).await });
            }
            Ok((connection, None)) => {
                let (id, turn) = (uuid(door.api.source.random()), crowd.turn_away());
                connections.spawn(async move { connection.send_away(&id, turn).await });
            }
            Err(error) => {
                warn!(%error, "connection not accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    // Nobody listens any more when every connection has ended.
    let _ = closing.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(LAST_WORDS, all).await.is_err() {
        connections.shutdown().await;
    }
}

/// A connection that was accepted.
enum Connection {
    Unix(UnixStream, Caller),
    Tcp(TcpStream, Caller),
    Tls(TcpStream, Caller, Tls),
}

/// The next connection, and its place where there is one.
async fn accept(listener: &Listener, crowd: &mut Crowd) -> io::Result<(Connection, Option<Place>)> {
    let connection = match listener {
        Listener::Unix(listener, access) => {
            let (stream, _) = listener.accept().await?;
            let admitted = stream.peer_cred().is_ok_and(|peer| access.admits(peer));
            Connection::Unix(stream, if admitted { Caller::Admitted } else { Caller::Stranger })
        }
        Listener::Tcp(listener, guard, tls) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let caller = match guard {
                Guard::Loopback => Caller::Loopback,
                Guard::Keys(keys) => Caller::Unknown(Arc::clone(keys)),
            };
            match tls {
                None => Connection::Tcp(stream, caller),
                Some(tls) => Connection::Tls(stream, caller, tls.clone()),
            }
        }
    };
    Ok((connection, crowd.place().await))
}

impl Connection {
    async fn serve(self, door: Arc<Door>, closed: watch::Receiver<bool>, place: Place) {
        match self {
            Self::Unix(stream, caller) => converse(stream, caller, door, closed, place).await,
            Self::Tcp(stream, caller) => converse(stream, caller, door, closed, place).await,
            Self::Tls(stream, caller, tls) => match timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await {
                Ok(Ok(stream)) => converse(stream, caller, door, closed, place).await,
                Ok(Err(error)) => debug!(%error, "no handshake"),
                Err(_) => debug!("the handshake took too long"),
            },
        }
    }

    /// Says that there is no place. Who expects TLS would not understand it.
    async fn send_away(self, id: &str, turn: Turn) {
        match self {
            Self::Unix(stream, _) => turn.tell(stream, id).await,
            Self::Tcp(stream, _) => turn.tell(stream, id).await,
            Self::Tls(..) => {}
        }
    }
}

/// Answers one connection's requests, one after the other.
async fn converse<S>(
    stream: S,
    caller: Caller,
    door: Arc<Door>,
    mut closed: watch::Receiver<bool>,
    mut place: Place,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let patience = Patience::default();
    let stream = Patient::new(stream, patience.clone());
    let service = service_fn(move |request| {
        let (door, patience, caller) = (Arc::clone(&door), patience.clone(), caller.clone());
        async move { Ok::<_, std::convert::Infallible>(door.answer(request, &caller, &patience).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(64 * 1024);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { tokio::select! { _ = closed.changed() => {} () = place.is_wanted() => {} } } => {
            // Ends at once where no request is under way.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended early");
    }
}

/// What every connection needs.
struct Door {
    api: Arc<Api>,
    conversations: Arc<Semaphore>,
}

impl Door {
    async fn answer(
        &self,
        mut request: Request<Incoming>,
        caller: &Caller,
        patience: &Patience,
    ) -> Response<Body> {
        let id = uuid(self.api.source.random());
        let beside = request.uri().path().starts_with(PREFIX);
        let upgrade = takeover::asked_for(&mut request);
        let answer = self.dispatch(request, caller).await;
        let answer = match answer {
            Ok(Reply::Bytes(stream)) => {
                match (upgrade, Arc::clone(&self.conversations).try_acquire_owned()) {
                    (Some(upgrade), Ok(permit)) => {
                        patience.be_long();
                        return takeover::response(upgrade, stream, permit);
                    }
                    (None, _) => Err(takeover::not_asked_for()),
                    (Some(_), Err(_)) => Err(too_many()),
                }
            }
            Ok(Reply::Lines(body)) => match Arc::clone(&self.conversations).try_acquire_owned() {
                Ok(permit) => {
                    patience.be_long();
                    Ok(Reply::Lines(
                        body.map_frame(move |frame| {
                            // The permit goes with the body.
                            let _ = &permit;
                            frame
                        })
                        .boxed_unsync(),
                    ))
                }
                Err(_) => Err(too_many()),
            },
            whole_or_refused => {
                patience.be_short();
                whole_or_refused
            }
        };
        if let Err(refused) = &answer {
            debug!(request = %id, error = refused.kind.name(), message = refused.message, "call refused");
        }
        reply::response(answer, if beside { "application/json" } else { ECS_JSON }, &id)
    }

    async fn dispatch(&self, request: Request<Incoming>, caller: &Caller) -> Result<Reply, Refused> {
        may_call(&request, caller)?;
        let (head, body) = request.into_parts();
        let signature = match caller {
            Caller::Admitted | Caller::Stranger | Caller::Loopback => None,
            Caller::Unknown(keys) => {
                let place = signature::Place { region: &self.api.owner.region, service: "ecs" };
                Some(Signature::of(&head, keys, &place, self.api.source.now())?)
            }
        };
        let body = read(body).await?;
        if let Some(signature) = signature {
            signature.verify(&body)?;
            debug!(key = signature.name(), "signature good");
        }
        let text = std::str::from_utf8(&body).map_err(|error| {
            let message = format!("the body is not UTF-8 after byte {}", error.valid_up_to());
            Refused::new(Kind::SerializationException, message)
        })?;
        let path = head.uri.path();
        if let Some(path) = path.strip_prefix(PREFIX) {
            return self.api.beside(&head.method, path, head.uri.query().unwrap_or(""), text).await;
        }
        if path != "/" || head.method != Method::POST {
            let message = format!("there is no {} {path}; ECS operations are POST /", head.method);
            return Err(Refused::new(Kind::UnknownOperationException, message));
        }
        let target = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or("");
        let operation = target.strip_prefix(TARGET).ok_or_else(|| {
            let message = format!("the header X-Amz-Target is '{target}', not {TARGET}OPERATION");
            Refused::new(Kind::UnknownOperationException, message)
        })?;
        let value = reading::parse(if text.trim().is_empty() { "{}" } else { text })
            .map_err(|refusal| Refused::unreadable(&refusal, Kind::SerializationException))?;
        if !value.is_object() {
            let message = "the body of a request is a JSON object";
            return Err(Refused::new(Kind::SerializationException, message));
        }
        self.api.call(operation, value).await.map(Reply::Whole)
    }
}

fn too_many() -> Refused {
    Refused::new(Kind::ThrottlingException, "Too many conversations at once. Rate exceeded")
}

/// Refuses strangers, and web pages that a browser on this host lets talk to loopback.
fn may_call(request: &Request<Incoming>, caller: &Caller) -> Result<(), Refused> {
    let denied = |message: &str| Err(Refused::new(Kind::AccessDeniedException, message));
    match caller {
        // Whose signature is good cannot be a web page: no browser has the key.
        Caller::Admitted | Caller::Unknown(_) => Ok(()),
        Caller::Stranger => {
            denied("This user may not call hythe. Root may, and whom the configuration names.")
        }
        Caller::Loopback => {
            let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            if request.headers().contains_key(ORIGIN) || !["localhost", "127.0.0.1", "[::1]"].contains(&name)
            {
                return denied(
                    "Over TCP, hythe is called by programs on this host and under a name of loopback.",
                );
            }
            Ok(())
        }
    }
}

/// The body of a request, if it is small and quick enough.
async fn read(body: Incoming) -> Result<Bytes, Refused> {
    let refused = |message: String| Refused::new(Kind::SerializationException, message);
    let too_long = || refused(format!("the body has more than {MOST_BYTES} bytes"));
    if body.size_hint().lower() > MOST_BYTES as u64 {
        return Err(too_long());
    }
    match timeout(BODY_LIMIT, Limited::new(body, MOST_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(error)) => Err(refused(format!("the body was cut off: {error}"))),
        Err(_) => Err(refused(format!("the body took more than {} seconds", BODY_LIMIT.as_secs()))),
    }
}
