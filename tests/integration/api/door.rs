//! The door of the API: the socket and who may use it, bodies that are no request, and how a server ends.
//!
//! Some tests write raw bytes, because no client would send them.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    sync::Arc,
    time::{Duration, SystemTime},
};

use hythe::api::{Access, Guard, Keys, ListenError, Listener, Tls, client::Client, serve};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    sync::oneshot,
    time::timeout,
};

use super::{Fixture, fixture};
use crate::harness::{registry::certificate, require, scaled};

const SOON: Duration = Duration::from_secs(10);

/// Sends bytes as they are and gives the answer as it is.
async fn raw(api: &Fixture, request: &[u8]) -> String {
    let stream = UnixStream::connect(api.client.socket()).await.unwrap();
    exchange(stream, request).await
}

pub(super) async fn exchange(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    request: &[u8],
) -> String {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(scaled(SOON), stream.read_to_end(&mut answer)).await.expect("the server closes");
    if let Err(error) = read {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

pub(super) fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Amz-Target: {target}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(super) const LIST: &str = "AmazonEC2ContainerServiceV20141113.ListClusters";

#[tokio::test]
async fn an_answer_has_the_type_and_the_id_that_sdks_look_for() {
    let api = fixture().await;
    let answer = raw(&api, &post(LIST, b"{}")).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: application/x-amz-json-1.1"));
    let id = answer.lines().find_map(|line| line.strip_prefix("x-amzn-requestid: ")).unwrap();
    assert_eq!(id.len(), 36);
}

#[tokio::test]
async fn bodies_that_are_no_request_are_refused_and_the_server_goes_on() {
    let api = fixture().await;
    let deep = [b"{\"clusters\":".to_vec(), b"[".repeat(100_000)].concat();
    for (body, word) in [
        (b"{".as_slice(), "SerializationException"),
        (b"[]", "SerializationException"),
        (b"{\"clusters\": \"\xff\"}", "not UTF-8"),
        (&deep, "recursion limit"),
        (b"{\"clusters\": 5}", "SerializationException"),
        (b"{\"clusters\": [], \"clusters\": []}", "is there twice"),
        (b"{\"clusters\": [], \"x\": 1}", "unknown member"),
    ] {
        let answer = raw(&api, &post("AmazonEC2ContainerServiceV20141113.DescribeClusters", body)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains(word), "{word} in {answer}");
    }
    for target in ["", "AmazonEC2ContainerServiceV20141113.Nothing", "DynamoDB_20120810.ListTables"] {
        let answer = raw(&api, &post(target, b"{}")).await;
        assert!(answer.contains("UnknownOperationException"), "{answer}");
    }
    let answer = raw(&api, &post("AmazonEC2ContainerServiceV20141113.ExecuteCommand", b"{}")).await;
    assert!(answer.contains("UnsupportedFeatureException"), "{answer}");
    api.ok("ListClusters", json!({})).await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_without_being_read_whole() {
    let api = fixture().await;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Amz-Target: {LIST}\r\nContent-Length: 99999999999\r\n\r\n"
    );
    let answer = raw(&api, head.as_bytes()).await;
    assert!(answer.contains("more than 1048576 bytes"), "{answer}");
}

#[tokio::test]
async fn the_socket_is_for_root_and_the_named_and_a_dead_one_is_replaced() {
    let api = fixture().await;
    let socket = api.client.socket().to_owned();
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o660);
    assert!(matches!(Listener::unix(&socket, Access::default()), Err(ListenError::InUse(_))));
    let stale = socket.with_file_name("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    assert!(Listener::unix(&stale, Access::default()).is_ok());
}

#[tokio::test]
async fn a_socket_may_lie_deeper_than_a_socket_address_is_long() {
    let api = fixture().await;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("d".repeat(120)).join("e".repeat(120)).join("hythe.sock");
    let listener = Listener::unix(&socket, Access::default()).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, Arc::clone(&api.api), async { drop(stopped.await) }));
    Client::new(&socket).call("ListClusters", json!({})).await.unwrap();
    drop(stop);
    timeout(scaled(SOON), served).await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_ends_conversations_and_comes_to_an_end() {
    let api = fixture().await;
    let socket = api.client.socket().with_file_name("other.sock");
    let listener = Listener::unix(&socket, Access::default()).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, Arc::clone(&api.api), async { drop(stopped.await) }));
    let client = Client::new(&socket);
    let _lines = client.lines(hyper::Method::GET, "/hythe/v1/events?follow=true", None).await.unwrap();
    drop(stop);
    timeout(scaled(SOON), served).await.expect("serving ends though a follower is there").unwrap();
}

/// The same API over TCP.
pub(super) async fn over_tcp(api: &Fixture, guard: Guard, tls: Option<Tls>) -> SocketAddr {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), guard, tls).await.unwrap();
    let address = listener.address().unwrap();
    tokio::spawn(serve(listener, Arc::clone(&api.api), std::future::pending()));
    address
}

fn keys(directory: &std::path::Path) -> Guard {
    let path = directory.join("keys");
    fs::write(&path, "[ada]\naws_access_key_id = AKADA\naws_secret_access_key = secret\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Guard::Keys(Arc::new(Keys::load(&path).unwrap()))
}

/// A request signed by the official crate, as bytes.
fn signed(address: SocketAddr, secret: &str, at: SystemTime, body: &str) -> Vec<u8> {
    use aws_credential_types::Credentials;
    use aws_sigv4::{
        http_request::{SignableBody, SignableRequest, SigningSettings, sign},
        sign::v4::SigningParams,
    };

    let credentials = Credentials::new("AKADA", secret, None, None, "test").into();
    let params = SigningParams::builder()
        .identity(&credentials)
        .region("us-east-1")
        .name("ecs")
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let host = address.to_string();
    let headers = [("host", host.as_str()), ("x-amz-target", LIST)];
    let url = format!("http://{address}/");
    let request =
        SignableRequest::new("POST", url, headers.into_iter(), SignableBody::Bytes(body.as_bytes())).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let mut request = hyper::Request::new(());
    instructions.apply_to_request_http1x(&mut request);
    let line = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        format!("{name}: {}\r\n", value.to_str().unwrap())
    };
    let lines = request.headers().iter().map(line).collect::<Vec<_>>().concat();
    let head =
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nX-Amz-Target: {LIST}\r\nConnection: close\r\n{lines}");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn with_keys_only_signed_requests_are_answered() {
    let api = fixture().await;
    let directory = tempfile::tempdir().unwrap();
    let address = over_tcp(&api, keys(directory.path()), None).await;
    // The fixture's clock stands in 2023.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let ask = async |request: Vec<u8>| exchange(TcpStream::connect(address).await.unwrap(), &request).await;
    let good = signed(address, "secret", now, "{}");
    assert!(ask(good.clone()).await.starts_with("HTTP/1.1 200"));
    assert!(ask(good.clone()).await.starts_with("HTTP/1.1 200"), "SDKs send the same bytes again");
    let plain = ask(post(LIST, b"{}")).await;
    assert!(
        plain.starts_with("HTTP/1.1 400") && plain.contains("MissingAuthenticationTokenException"),
        "{plain}"
    );
    assert!(ask(signed(address, "guess", now, "{}")).await.contains("InvalidSignatureException"));
    let late = now - Duration::from_secs(600);
    assert!(ask(signed(address, "secret", late, "{}")).await.contains("Signature expired"));
    let other_body = String::from_utf8(good).unwrap().replace("{}", "[]");
    assert!(ask(other_body.into_bytes()).await.contains("InvalidSignatureException"));
    // The socket is for those whom the kernel knows; nobody signs there.
    api.ok("ListClusters", json!({})).await;
}

#[tokio::test]
async fn with_a_certificate_only_tls_is_spoken() {
    use rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    };

    require!(openssl);
    let api = fixture().await;
    let directory = tempfile::tempdir().unwrap();
    certificate(directory.path());
    let (chain, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    assert!(Tls::load(&key, &key).is_err());
    let tls = Tls::load(&chain, &key).unwrap();
    let address = over_tcp(&api, keys(directory.path()), Some(tls)).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&chain).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let answer = exchange(stream, &signed(address, "secret", now, "{}")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let plain =
        exchange(TcpStream::connect(address).await.unwrap(), &signed(address, "secret", now, "{}")).await;
    assert!(!plain.contains("HTTP/1.1 200"), "{plain}");
}

#[tokio::test]
async fn who_finds_no_place_is_told_and_idle_connections_make_room() {
    let api = fixture().await;
    let address = over_tcp(&api, Guard::Loopback, None).await;
    // Half a request each: their places are taken until the time for a head is over.
    let mut held = Vec::new();
    let (descriptors, _) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    for _ in 0..(descriptors / 4).min(512) + 20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\n").await.unwrap();
        held.push(stream);
    }
    let answer = exchange(TcpStream::connect(address).await.unwrap(), &post(LIST, b"{}")).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("ThrottlingException"), "{answer}");
    // Over the socket there are other places.
    api.ok("ListClusters", json!({})).await;
    drop(held);
    let again = timeout(SOON, async {
        loop {
            let answer = exchange(TcpStream::connect(address).await.unwrap(), &post(LIST, b"{}")).await;
            if answer.starts_with("HTTP/1.1 200") {
                break;
            }
        }
    });
    again.await.expect("there are places again");
}

#[tokio::test]
async fn over_tcp_only_loopback_is_served_and_no_web_page() {
    let api = fixture().await;
    let outside = Listener::tcp("0.0.0.0:0".parse().unwrap(), Guard::Loopback, None).await;
    assert!(matches!(outside, Err(ListenError::NotLoopback(_))));
    let address = over_tcp(&api, Guard::Loopback, None).await;
    let ask = async |host: &str, more: &str| {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\nX-Amz-Target: {LIST}\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        exchange(TcpStream::connect(address).await.unwrap(), request.as_bytes()).await
    };
    assert!(ask("localhost:1", "").await.starts_with("HTTP/1.1 200"));
    assert!(ask("evil.example", "").await.contains("AccessDeniedException"));
    assert!(ask("localhost", "Origin: http://evil.example\r\n").await.contains("AccessDeniedException"));
}

#[tokio::test]
async fn many_clients_at_once_are_all_answered() {
    let api = fixture().await;
    let calls = (0..600).map(|_| async { api.client.call("ListClusters", json!({})).await });
    let answers =
        timeout(scaled(Duration::from_secs(60)), futures_util::future::join_all(calls)).await.unwrap();
    let failed = answers.into_iter().filter_map(Result::err).find(|error| !is_full_queue(error));
    assert!(failed.is_none(), "{failed:?}");
}

/// A unix socket whose queue is full says so at once, where TCP would wait.
fn is_full_queue(error: &hythe::api::client::ClientError) -> bool {
    use hythe::api::client::ClientError;

    matches!(error, ClientError::Unreachable { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
}
