//! The door of the API: the socket and who may use it, bodies that are no request, and how a server ends.
//!
//! Some tests write raw bytes, because no client would send them.

use std::{fs, io, os::unix::fs::MetadataExt as _, sync::Arc, time::Duration};

use hythe::api::{Access, ListenError, Listener, client::Client, serve};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    sync::oneshot,
    time::timeout,
};

use super::{Fixture, fixture};
use crate::harness::scaled;

const SOON: Duration = Duration::from_secs(10);

/// Sends bytes as they are and gives the answer as it is.
async fn raw(api: &Fixture, request: &[u8]) -> String {
    let stream = UnixStream::connect(api.client.socket()).await.unwrap();
    exchange(stream, request).await
}

async fn exchange(
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

fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Amz-Target: {target}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

const LIST: &str = "AmazonEC2ContainerServiceV20141113.ListClusters";

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
        (b"{\"clusters\": [], \"clusters\": [], \"x\": 1}", "unknown member"),
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

#[tokio::test]
async fn over_tcp_only_loopback_is_served_and_no_web_page() {
    let api = fixture().await;
    let outside = Listener::tcp("0.0.0.0:0".parse().unwrap()).await;
    assert!(matches!(outside, Err(ListenError::NotLoopback(_))));
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let Listener::Tcp(socket) = &listener else { panic!("a TCP listener") };
    let address = socket.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::clone(&api.api), std::future::pending()));
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
