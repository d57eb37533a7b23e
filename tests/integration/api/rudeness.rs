//! Callers that are slow, that send half of a request, or that are far too many.

use std::{
    collections::VecDeque,
    fs, io,
    time::{Duration, Instant},
};

use hythe::api::Guard;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    time::{interval, timeout},
};

use super::{
    Fixture,
    door::{LIST, exchange, over_tcp, post},
    fixture,
};
use crate::harness::scaled;

/// Longer than the server's limits for a head and for a body, which are 30 seconds.
const LIMIT: Duration = Duration::from_secs(45);

/// Sends bytes, then one more in each second, until the server has closed; what it said, and after how long.
async fn drip(api: &Fixture, bytes: &[u8], drop: &[u8]) -> (String, Duration) {
    let begin = Instant::now();
    let (mut reader, mut writer) = UnixStream::connect(api.client.socket()).await.unwrap().into_split();
    writer.write_all(bytes).await.unwrap();
    let dripping = async {
        let mut seconds = interval(Duration::from_secs(1));
        while writer.write_all(drop).await.is_ok() {
            seconds.tick().await;
        }
        // What the server says last is still to be read.
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    let reading = reader.read_to_end(&mut answer);
    tokio::select! {
        read = timeout(scaled(LIMIT), reading) => {
            if let Err(error) = read.expect("the server closes") {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            }
        }
        () = dripping => unreachable!("it never ends"),
    }
    (String::from_utf8_lossy(&answer).into_owned(), begin.elapsed())
}

#[tokio::test]
async fn who_is_slow_or_stops_halfway_is_closed_and_nothing_is_half_done() {
    let api = fixture().await;
    let create = "AmazonEC2ContainerServiceV20141113.CreateCluster";
    let half = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: {create}\r\nContent-Length: 500\r\n\r\n{{\"clusterName\": \"half"
    );
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    let ((silent, _), (slow_head, after), (slow_body, _), (half_body, _), gone) = tokio::join!(
        drip(&api, b"", b""),
        drip(&api, head.as_bytes(), b"x"),
        drip(&api, half.as_bytes(), b" "),
        drip(&api, half.as_bytes(), b""),
        async {
            // One who hangs up in the middle.
            let mut stream = UnixStream::connect(api.client.socket()).await.unwrap();
            stream.write_all(half.as_bytes()).await
        },
    );
    gone.unwrap();
    assert_eq!(silent, "");
    assert!(slow_head.is_empty() || slow_head.starts_with("HTTP/1.1 408"), "{slow_head}");
    assert!(after >= Duration::from_secs(25), "it was closed after {after:?}");
    for answer in [slow_body, half_body] {
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("the body took more than 30 seconds"), "{answer}");
    }
    let listed = api.ok("ListClusters", json!({})).await;
    assert_eq!(listed["clusterArns"].as_array().unwrap().len(), 1, "{listed:#}");
}

#[tokio::test]
async fn a_body_that_grows_past_its_limit_is_refused_though_nobody_said_how_long_it_is() {
    let api = fixture().await;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: {LIST}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let (mut reader, mut writer) = UnixStream::connect(api.client.socket()).await.unwrap().into_split();
    writer.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16));
    let flooding = async {
        while writer.write_all(chunk.as_bytes()).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let mut answer = [0; 4096];
    let read = async { reader.read(&mut answer).await.unwrap() };
    let length = tokio::select! {
        length = timeout(scaled(LIMIT), read) => length.expect("an answer"),
        () = flooding => unreachable!("it never ends"),
    };
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("more than 1048576 bytes"), "{answer}");
    api.ok("ListClusters", json!({})).await;
}

/// Descriptors of this process.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn ten_thousand_connections_take_nothing_from_the_others_and_leave_nothing() {
    let api = fixture().await;
    let address = over_tcp(&api, Guard::Loopback, None).await;
    let before = descriptors();
    let (most, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let most = usize::try_from(most / 4).unwrap().min(2000);
    let mut held = VecDeque::new();
    for number in 0..10_000 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Half a request each, which some are too late to send.
        let _ = stream.write_all(b"POST / HTTP/1.1\r\n").await;
        held.push_back(stream);
        if held.len() > most {
            held.pop_front();
        }
        if number % 2500 == 0 {
            api.ok("ListClusters", json!({})).await;
        }
    }
    api.ok("ListClusters", json!({})).await;
    held.clear();
    let quiet = timeout(scaled(LIMIT), async {
        loop {
            let answer = exchange(TcpStream::connect(address).await.unwrap(), &post(LIST, b"{}")).await;
            if answer.starts_with("HTTP/1.1 200") && descriptors() <= before + 16 {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
    quiet.await.expect("all places are free again and every descriptor is closed");
}
