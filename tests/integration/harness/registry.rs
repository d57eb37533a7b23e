//! Real registries on loopback: Debian's docker-registry, plain, with a password or with TLS; and a slow road to one.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::images::rootfs_tools;
use super::{PATIENCE, wait_for};

/// The user that a registry with a password lets in.
pub const USER: &str = "hythe:secret";
/// Its line in htpasswd's format.
const HTPASSWD: &str = "hythe:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// A running registry, ended on drop.
pub struct Registry {
    child: Child,
    directory: tempfile::TempDir,
    port: u16,
}

/// What a registry asks of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Nothing.
    Open,
    /// User and password.
    Password,
    /// HTTPS with a certificate of an authority of its own.
    Tls,
}

impl Registry {
    /// Starts one. Needs docker-registry, and openssl for TLS.
    pub fn start(door: Door) -> Self {
        // Somebody may take the port in between; then there is another.
        (0..5).find_map(|_| Self::attempt(door)).expect("docker-registry does not start")
    }

    fn attempt(door: Door) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = directory.path().display();
        let (mut http, mut auth) = (String::new(), String::new());
        match door {
            Door::Open => {}
            Door::Password => {
                fs::write(directory.path().join("htpasswd"), HTPASSWD).unwrap();
                auth = format!("auth: {{htpasswd: {{realm: test, path: {at}/htpasswd}}}}\n");
            }
            Door::Tls => {
                certificate(directory.path());
                http = format!(", tls: {{certificate: {at}/cert.pem, key: {at}/key.pem}}");
            }
        }
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {at}/data}}, delete: {{enabled: true}}}}\n\
             {auth}http: {{addr: '127.0.0.1:{port}'{http}}}\n"
        );
        let path = directory.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(path).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut registry = Self { child: command.spawn().unwrap(), directory, port };
        registry.is_up().then_some(registry)
    }

    fn is_up(&mut self) -> bool {
        wait_for("docker-registry", PATIENCE, || {
            let has_ended = self.child.try_wait().unwrap().is_some();
            let answers = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            (has_ended || answers).then_some(answers)
        })
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Pushes the image tagged `latest` in `layout` as `name` and returns the full name.
    pub fn push(&self, layout: &Path, name: &str) -> String {
        let full = format!("{}/{name}", self.host());
        rootfs_tools(&["push", layout.to_str().unwrap(), &full, "--credentials", USER]);
        full
    }

    /// The certificate of its authority.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    /// Where it keeps a blob.
    pub fn blob(&self, hex: &str) -> PathBuf {
        let blobs = self.directory.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// A road to it that carries at most `rate` bytes a second and remembers requests.
    pub fn slow_road(&self, rate: usize) -> Road {
        Road::open(self.port, 0, rate)
    }

    /// A road to it that begins at a port which somebody knows already.
    pub fn road_at(&self, port: u16) -> Road {
        Road::open(self.port, port, usize::MAX)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate for this host's loopback and its key: `cert.pem` and `key.pem` in a directory.
pub fn certificate(directory: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
        ])
        .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(directory.join("key.pem"))
        .arg("-out")
        .arg(directory.join("cert.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A relay to a registry.
pub struct Road {
    port: u16,
    requests: Arc<Mutex<Vec<u8>>>,
    carried: Arc<Mutex<usize>>,
}

impl Road {
    fn open(to: u16, at: u16, rate: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", at)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let carried = Arc::new(Mutex::new(0));
        let (seen, count) = (requests.clone(), carried.clone());
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let (seen, count) = (seen.clone(), count.clone());
                let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || {
                    relay(up, server, usize::MAX, |piece| seen.lock().unwrap().extend(piece));
                });
                std::thread::spawn(move || {
                    relay(down, client, rate, |piece| *count.lock().unwrap() += piece.len());
                });
            }
        });
        Self { port, requests, carried }
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Everything that was asked, headers and all.
    pub fn requests(&self) -> String {
        String::from_utf8_lossy(&self.requests.lock().unwrap()).into_owned()
    }

    /// Bytes that came back.
    pub fn carried(&self) -> usize {
        *self.carried.lock().unwrap()
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, rate: usize, see: impl Fn(&[u8])) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            break;
        }
        see(&buffer[..length]);
        if rate != usize::MAX {
            // This is the thing under test's bad weather, not a wait for it.
            std::thread::sleep(Duration::from_micros((length * 1_000_000 / rate) as u64));
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
