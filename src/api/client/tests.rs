use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
};

use super::*;

/// A daemon that reads one request and gives one answer; returns what was asked.
async fn answer_once(listener: UnixListener, answer: impl AsRef<str>) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = Vec::new();
    let mut chunk = [0; 1024];
    while !String::from_utf8_lossy(&asked).contains("\r\n\r\n") {
        let length = stream.read(&mut chunk).await.unwrap();
        asked.extend_from_slice(&chunk[..length]);
    }
    stream.write_all(answer.as_ref().as_bytes()).await.unwrap();
    String::from_utf8_lossy(&asked).into_owned()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    (directory, socket)
}

#[tokio::test]
async fn a_refusal_keeps_the_code_and_the_sentence() {
    let (_directory, socket) = place();
    let listener = UnixListener::bind(&socket).unwrap();
    let body = r#"{"__type":"a.b#ClientException:x","message":"TaskDefinition not found."}"#;
    let answer = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let daemon = tokio::spawn(answer_once(listener, answer));
    let refused = Client::new(&socket).call("RunTask", json!({})).await.unwrap_err();
    assert_eq!(refused.code(), Some("ClientException"), "{refused:?}");
    assert_eq!(refused.to_string(), "TaskDefinition not found.");
    assert!(daemon.await.unwrap().contains("x-amz-target: AmazonEC2ContainerServiceV20141113.RunTask"));
}

#[tokio::test]
async fn lines_come_one_by_one_and_the_last_needs_no_end() {
    let (_directory, socket) = place();
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = tokio::spawn(answer_once(
        listener,
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"n\":1}\n\n{\"n\":2}",
    ));
    let mut lines = Client::new(&socket).lines(Method::GET, "/hythe/v1/logs", None).await.unwrap();
    assert_eq!(lines.next().await.unwrap(), Some(json!({ "n": 1 })));
    assert_eq!(lines.next().await.unwrap(), Some(json!({ "n": 2 })));
    assert_eq!(lines.next().await.unwrap(), None);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_an_address_is_reached_all_the_same() {
    let (directory, _) = place();
    let deep = directory.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let handle = File::open(&deep).unwrap();
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/s", handle.as_raw_fd())).unwrap();
    let daemon = tokio::spawn(answer_once(listener, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"));
    assert_eq!(Client::new(&deep.join("s")).get("/hythe/v1/doctor").await.unwrap(), json!({}));
    daemon.await.unwrap();
}

#[tokio::test]
async fn nobody_listening_is_its_own_kind_of_error() {
    let (_directory, socket) = place();
    let error = Client::new(&socket).get("/").await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }));
}
