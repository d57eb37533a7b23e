use std::process::{Child, Command, Stdio};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixListener,
};

use super::*;
use crate::shim::protocol::{Report, VERSION};

/// A task's place, and something that lives as its shim.
struct Scene {
    _place: tempfile::TempDir,
    address: Address,
    shim: Child,
}

impl Scene {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let address = Address {
            task: TaskId::from_random([7; 16]),
            socket: place.path().join("socket"),
            ledger: place.path().join("ledger"),
        };
        let errors = alive::claim(place.path()).unwrap();
        let shim = Command::new("cat").stdin(Stdio::piped()).stderr(errors).spawn().unwrap();
        Self { _place: place, address, shim }
    }

    async fn find(&self) -> Result<Connection, ClientError> {
        find(&self.address, self.address.socket.parent().unwrap(), 1).await
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.shim.kill();
        self.shim.wait().unwrap();
    }
}

#[tokio::test]
async fn a_shim_that_does_not_listen_yet_is_waited_for() {
    let scene = Scene::new();
    let listens = async {
        let listener = UnixListener::bind(&scene.address.socket).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&scene.address.socket, mode).unwrap();
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        stream.read_line(&mut String::new()).await.unwrap();
        let welcome = Report::Welcome { version: VERSION, task: scene.address.task.clone(), facts: 0 };
        let line = serde_json::to_string(&welcome).unwrap() + "\n";
        stream.write_all(line.as_bytes()).await.unwrap();
    };
    // The one that waits is polled first, so it has found nobody before there is a socket.
    let (found, ()) = tokio::join!(biased; scene.find(), listens);
    found.unwrap();
}

#[tokio::test]
async fn a_shim_that_ends_before_it_listens_is_gone_and_not_waited_for() {
    let mut scene = Scene::new();
    let stdin = scene.shim.stdin.take();
    let ends = async { drop(stdin) };
    let (found, ()) = tokio::join!(biased; scene.find(), ends);
    assert!(matches!(found, Err(ClientError::Gone(_))), "{found:?}");
}
