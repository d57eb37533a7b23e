//! What Debian's registry does not do by itself: tokens, foreign formats, credential helpers.
//!
//! The registry here is a small real one: it speaks HTTP on loopback and serves an OCI layout to whoever has a token.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hythe::image::credentials::Login;
use hythe::image::manifest::Compression;
use hythe::image::pull::{PullFailure, PullOptions};
use hythe::image::store::ImageStore;

use super::{chain, pull_with};
use crate::harness::images::{of_tars, tar};
use crate::harness::require;

/// base64 of hythe:secret
const BASIC: &str = "Basic aHl0aGU6c2VjcmV0";

/// A registry that gives tokens to hythe:secret.
struct TokenRegistry {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl TokenRegistry {
    fn start(layout: PathBuf, manifest: String, media_type: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (layout, manifest, log) = (layout.clone(), manifest.clone(), log.clone());
                std::thread::spawn(move || serve(&client, port, &layout, &manifest, media_type, &log));
            }
        });
        Self { port, asked }
    }

    fn name(&self) -> String {
        format!("127.0.0.1:{}/team/app:1", self.port)
    }
}

fn serve(
    client: &TcpStream,
    port: u16,
    layout: &Path,
    manifest: &str,
    media_type: &str,
    log: &Mutex<Vec<String>>,
) {
    let mut input = BufReader::new(client);
    let mut output = client;
    loop {
        let mut first = String::new();
        // Whoever speaks TLS to us is no client of ours.
        if input.read_line(&mut first).is_err() || !first.starts_with("GET ") {
            return;
        }
        let mut headers = BTreeMap::new();
        for line in input.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let path = first.split(' ').nth(1).unwrap().to_owned();
        log.lock().unwrap().push(path.clone());
        let authorization = headers.get("authorization").map_or("", String::as_str);
        let (status, extra, body) = if path.starts_with("/token") {
            let is_known = authorization == BASIC;
            let body = if is_known { r#"{"token":"ticket"}"# } else { "{}" };
            (if is_known { "200 OK" } else { "401 Unauthorized" }, String::new(), body.as_bytes().to_vec())
        } else if authorization != "Bearer ticket" {
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"test\"\r\n"
            );
            ("401 Unauthorized", challenge, b"{}".to_vec())
        } else if path.contains("/manifests/") {
            ("200 OK", format!("Content-Type: {media_type}\r\n"), manifest.as_bytes().to_vec())
        } else {
            let hex = path.rsplit(':').next().unwrap();
            // No ranges here: the whole blob, whatever is asked.
            ("200 OK", String::new(), fs::read(layout.join("blobs/sha256").join(hex)).unwrap_or_default())
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{extra}\r\n", body.len());
        if output.write_all(head.as_bytes()).and_then(|()| output.write_all(&body)).is_err() {
            return;
        }
    }
}

/// A layout and its manifest, in docker's words instead of OCI's.
fn docker_schema_two(layout: &Path) -> String {
    let digest = of_tars(layout, "latest", &[tar(&[("hello", b"world")])], Compression::Gzip);
    let manifest = fs::read_to_string(layout.join("blobs/sha256").join(digest.hex())).unwrap();
    manifest
        .replace("vnd.oci.image.manifest.v1", "vnd.docker.distribution.manifest.v2")
        .replace("vnd.oci.image.config.v1", "vnd.docker.container.image.v1")
        .replace("vnd.oci.image.layer.v1.tar+gzip", "vnd.docker.image.rootfs.diff.tar.gzip")
}

#[test]
fn a_password_is_changed_for_a_token_and_dockers_format_is_read() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let manifest = docker_schema_two(&layout);
    let registry =
        TokenRegistry::start(layout, manifest, "application/vnd.docker.distribution.manifest.v2+json");
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let anonymous = PullOptions { login: Some(Login::Anonymous), ..PullOptions::default() };
    let refused = pull_with(&store, &registry.name(), &anonymous).unwrap_err();
    assert_eq!(refused.kind(), PullFailure::Unauthorised, "{}", chain(&refused));
    let login = Login::Basic { user: "hythe".into(), password: "secret".into() };
    let image =
        pull_with(&store, &registry.name(), &PullOptions { login: Some(login), ..PullOptions::default() });
    assert_eq!(image.unwrap().read_file(Path::new("hello")).unwrap().unwrap(), b"world");
    let asked = registry.asked.lock().unwrap();
    assert!(
        asked.iter().any(|path| path.starts_with("/token?scope=repository%3Ateam%2Fapp%3Apull")),
        "{asked:?}"
    );
}

#[test]
fn a_registry_that_knows_no_ranges_still_continues_a_partial_blob() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let manifest = docker_schema_two(&layout);
    let digest = manifest.rsplit("sha256:").next().unwrap()[..64].to_owned();
    let blob = fs::read(layout.join("blobs/sha256").join(&digest)).unwrap();
    let registry = TokenRegistry::start(layout, manifest, "application/vnd.oci.image.manifest.v1+json");
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    fs::write(store.root().join("partial").join(&digest), &blob[..blob.len() / 2]).unwrap();
    let login = Login::Basic { user: "hythe".into(), password: "secret".into() };
    let options = PullOptions { login: Some(login), ..PullOptions::default() };
    let image = pull_with(&store, &registry.name(), &options).unwrap();
    assert!(store.verify(&image).unwrap().is_empty());
}

#[test]
fn a_credential_helper_is_asked_for_its_host() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let manifest = docker_schema_two(&layout);
    let registry = TokenRegistry::start(layout, manifest, "application/vnd.oci.image.manifest.v1+json");
    let helper = dir.path().join("docker-credential-test");
    let host = format!("127.0.0.1:{}", registry.port);
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = get ] && [ \"$(cat)\" = {host} ] || {{ echo credentials not found in native keychain; exit 1; }}\n\
         echo '{{\"ServerURL\":\"x\",\"Username\":\"hythe\",\"Secret\":\"secret\"}}'\n"
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let config = dir.path().join("config.json");
    fs::write(&config, serde_json::json!({"credHelpers": {host: "test"}}).to_string()).unwrap();
    // The helper is found by the program's own PATH, so another process is asked.
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let store = dir.path().join("store");
    let output = std::process::Command::new(crate::harness::images::ROOTFS_TOOLS)
        .args(["pull", &registry.name(), "--store", store.to_str().unwrap()])
        .env("PATH", path)
        .env("DOCKER_CONFIG", dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_oldest_manifest_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = r#"{"schemaVersion":1,"name":"team/app","fsLayers":[]}"#.to_owned();
    let media_type = "application/vnd.docker.distribution.manifest.v1+json";
    let registry = TokenRegistry::start(dir.path().to_owned(), manifest, media_type);
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let login = Login::Basic { user: "hythe".into(), password: "secret".into() };
    let options = PullOptions { login: Some(login), ..PullOptions::default() };
    let refused = pull_with(&store, &registry.name(), &options).unwrap_err();
    assert_eq!(refused.kind(), PullFailure::Unsupported, "{}", chain(&refused));
    assert!(chain(&refused).contains("schema 1"), "{}", chain(&refused));
}
