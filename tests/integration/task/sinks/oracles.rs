//! What others make of our words: the journal of systemd, rsyslog, and a server that wants TLS.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use hythe::shim::spec::{Driver, SyslogForm, SyslogSpec, Target, TlsSpec};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde_json::Value;

use super::{LOSES, Lab, WAITS, lab, told};
use crate::harness::{PATIENCE, instance::own_network, registry::certificate, require, wait_for};

/// A program that takes output, and its directory.
struct Oracle {
    child: Child,
    place: tempfile::TempDir,
}

impl Oracle {
    fn start(place: tempfile::TempDir, command: &mut Command) -> Self {
        let log = fs::File::create(place.path().join("said")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { child, place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Waits until this file is there.
    fn has(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        wait_for(name, PATIENCE, || {
            path.exists().then_some(()).or_else(|| {
                println!("{}", fs::read_to_string(self.path("said")).unwrap_or_default());
                None
            })
        });
        path
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// systemd's journal, with `/run` and `/var/log` of its own.
fn journald() -> Oracle {
    let place = tempfile::Builder::new().prefix("hythe-test-journal-").tempdir().unwrap();
    for name in ["run/systemd/journal", "run/log/journal", "log"] {
        fs::create_dir_all(place.path().join(name)).unwrap();
    }
    let script = "mount --make-rprivate / && mount --bind \"$0/run\" /run && mount --bind \"$0/log\" /var/log && \
                  exec /lib/systemd/systemd-journald";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(place.path());
    Oracle::start(place, &mut command)
}

/// rsyslog with these inputs, which writes what it understood into `out`, a line a message.
fn rsyslogd(place: tempfile::TempDir, inputs: &str) -> Oracle {
    let directory = place.path().display();
    let text = format!(
        "global(workDirectory=\"{directory}\")\n{inputs}\n\
         template(name=\"read\" type=\"string\" string=\"%syslogfacility-text%.%syslogseverity-text%|%hostname%|\
         %programname%|%procid%|%msg%\\n\")\n\
         *.* action(type=\"omfile\" file=\"{directory}/out\" template=\"read\")\n"
    );
    fs::write(place.path().join("conf"), text).unwrap();
    let mut command = Command::new("rsyslogd");
    command.arg("-n").arg("-f").arg(place.path().join("conf")).arg("-i").arg(place.path().join("pid"));
    Oracle::start(place, &mut command)
}

fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("hythe-test-rsyslog-").tempdir().unwrap()
}

fn speaks(target: Target, form: SyslogForm, tls: Option<TlsSpec>) -> Driver {
    let server = SyslogSpec {
        targets: vec![target],
        host: None,
        facility: 16,
        form,
        tag: "shop".to_owned(),
        hostname: "box".to_owned(),
        tls,
    };
    Driver::Syslog { server, delivery: WAITS }
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn the_journal_of_systemd_reads_our_entries() {
    require!(root, busybox, cgroup_memory, journald);
    let oracle = journald();
    let socket = oracle.has("run/systemd/journal/socket");
    let long = 20_000;
    let script = format!("echo 'one two'; echo oops >&2; yes é | head -n {long} | tr -d '\\n'; echo");
    let lab = lab(&script, super::journald(&socket));
    let mut talk = lab.start().await;
    talk.end().await;
    assert_eq!(told(&talk), [] as [&str; 0]);
    let entries = wait_for("three entries", PATIENCE, || {
        let read = Command::new("journalctl")
            .args(["--all", "--output", "json", "--directory"])
            .arg(oracle.path("run/log/journal"))
            .arg("CONTAINER_NAME=app")
            .output()
            .unwrap();
        let text = String::from_utf8(read.stdout).unwrap();
        let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (entries.len() >= 5).then_some(entries)
    });
    let find = |message: &str| entries.iter().find(|entry| entry["MESSAGE"] == message).unwrap().clone();
    assert_eq!(find("one two")["PRIORITY"], "6");
    assert_eq!(find("oops")["PRIORITY"], "3");
    let pieces: Vec<&Value> =
        entries.iter().filter(|entry| entry["MESSAGE"].as_str().unwrap().starts_with('é')).collect();
    let lengths: usize = pieces.iter().map(|entry| entry["MESSAGE"].as_str().unwrap().chars().count()).sum();
    assert_eq!((pieces.len(), lengths), (3, long));
    let partial = pieces.iter().filter(|entry| entry["CONTAINER_PARTIAL_MESSAGE"] == "true").count();
    assert_eq!(partial, 2, "all but the last are pieces");
}

#[tokio::test]
async fn rsyslog_reads_every_form_over_every_way() {
    require!(root, busybox, cgroup_memory, rsyslogd);
    own_network();
    let (udp, tcp) = (free_port(), free_port());
    let place = directory();
    let inputs = format!(
        "module(load=\"imuxsock\" SysSock.Use=\"off\")\nmodule(load=\"imudp\")\nmodule(load=\"imtcp\")\n\
         input(type=\"imuxsock\" Socket=\"{}/log\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{udp}\")\n\
         input(type=\"imtcp\" port=\"{tcp}\")",
        place.path().display()
    );
    let oracle = rsyslogd(place, &inputs);
    let log = oracle.has("log");
    oracle.has("pid");
    let on = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let ways = [
        (Target::UnixDatagram(log), SyslogForm::Local),
        (Target::Udp(on(udp)), SyslogForm::Rfc3164),
        (Target::Tcp(on(tcp)), SyslogForm::Rfc5424),
        (Target::Tcp(on(tcp)), SyslogForm::Rfc5424Micro),
    ];
    for (target, form) in ways {
        let word = format!("{form:?}");
        let lab = lab(&format!("echo {word} [a] b; echo {word} worse >&2"), speaks(target, form, None));
        let mut talk = lab.start().await;
        talk.end().await;
        assert_eq!(told(&talk), [] as [&str; 0], "{word}");
        let read = wait_for(&word, PATIENCE, || {
            let text = fs::read_to_string(oracle.path("out")).unwrap_or_default();
            let lines: Vec<String> =
                text.lines().filter(|line| line.contains(&format!("{word} "))).map(str::to_owned).collect();
            (lines.len() == 2).then_some(lines)
        });
        let has = |level: &str, message: &str| {
            read.iter().any(|line| {
                let parts: Vec<&str> = line.split('|').collect();
                // Over a host's own socket the server puts in its own name.
                let is_named = form == SyslogForm::Local || parts[1] == "box";
                let is_ours = parts[2] == "shop" && parts[3].parse::<u32>().is_ok();
                parts[0] == level && is_named && is_ours && parts[4].trim() == message
            })
        };
        assert!(
            has("local0.info", &format!("{word} [a] b")) && has("local0.err", &format!("{word} worse")),
            "{read:?}"
        );
    }
}

/// How a server with a certificate of this directory is spoken to.
fn trusting(directory: &Path) -> TlsSpec {
    TlsSpec {
        name: "127.0.0.1".to_owned(),
        authority: Some(directory.join("cert.pem")),
        certificate: None,
        key: None,
        skip_verify: false,
    }
}

#[tokio::test]
async fn rsyslog_reads_what_is_said_over_tls() {
    require!(root, busybox, cgroup_memory, rsyslogd, openssl);
    own_network();
    let port = free_port();
    let place = directory();
    certificate(place.path());
    let files = place.path().display();
    let inputs = format!(
        "global(DefaultNetstreamDriver=\"gtls\" DefaultNetstreamDriverCAFile=\"{files}/cert.pem\" \
         DefaultNetstreamDriverCertFile=\"{files}/cert.pem\" DefaultNetstreamDriverKeyFile=\"{files}/key.pem\")\n\
         module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")\n\
         input(type=\"imtcp\" port=\"{port}\")"
    );
    let tls = trusting(place.path());
    let oracle = rsyslogd(place, &inputs);
    oracle.has("pid");
    let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    let lab = lab("exec seq 1 20000", speaks(target, SyslogForm::Rfc5424, Some(tls)));
    let mut talk = lab.start().await;
    talk.end().await;
    assert_eq!(told(&talk), [] as [&str; 0]);
    let last = wait_for("the last line", PATIENCE, || {
        let text = fs::read_to_string(oracle.path("out")).unwrap_or_default();
        let lines: Vec<u32> =
            text.lines().filter_map(|line| line.rsplit('|').next()?.trim().parse().ok()).collect();
        (lines.last() == Some(&20_000)).then_some(lines)
    });
    assert_eq!(last, (1..=20_000).collect::<Vec<_>>());
}

/// A server with the certificate in a directory, which may want one from us. It reads one connection to its end.
fn server(directory: &Path, wants_ours: bool) -> (SocketAddr, std::thread::JoinHandle<String>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let chain = vec![CertificateDer::from_pem_file(directory.join("cert.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let builder = if wants_ours {
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.unwrap().with_client_cert_verifier(verifier)
    } else {
        builder.unwrap().with_no_client_auth()
    };
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let mut text = String::new();
        if stream.read_to_string(&mut text).is_err() {
            let _ = stream.flush();
        }
        text
    });
    (address, heard)
}

#[tokio::test]
async fn tls_is_spoken_to_whom_the_definition_trusts_and_to_nobody_else() {
    require!(root, busybox, cgroup_memory, openssl);
    own_network();
    let (place, other) = (directory(), directory());
    certificate(place.path());
    certificate(other.path());
    let run = async |tls: TlsSpec, wants_ours: bool| {
        let (address, heard) = server(place.path(), wants_ours);
        let mut driver = speaks(Target::Tcp(address), SyslogForm::Rfc3164, Some(tls));
        if let Driver::Syslog { delivery, .. } = &mut driver {
            *delivery = LOSES;
        }
        let lab: Lab = lab("echo first; echo second", driver);
        let mut talk = lab.start().await;
        talk.end().await;
        let told: Vec<String> = told(&talk).into_iter().map(str::to_owned).collect();
        (heard.join().unwrap(), told.join("\n"))
    };
    let (heard, told) = run(trusting(place.path()), false).await;
    assert!(heard.lines().count() == 2 && heard.ends_with("]: second\n"), "{heard}");
    assert_eq!(told, "", "and the end of it is said");

    let (heard, told) = run(trusting(other.path()), false).await;
    assert_eq!(heard, "");
    assert!(told.contains("2 lines for syslog were dropped: invalid peer certificate"), "{told}");
    let (heard, _) = run(TlsSpec { skip_verify: true, ..trusting(other.path()) }, false).await;
    assert!(heard.ends_with("]: second\n"), "{heard}");

    let ours = TlsSpec {
        certificate: Some(place.path().join("cert.pem")),
        key: Some(place.path().join("key.pem")),
        ..trusting(place.path())
    };
    let (heard, told) = run(ours, true).await;
    assert!(heard.ends_with("]: second\n"), "{heard} {told}");
    let (heard, _) = run(trusting(place.path()), true).await;
    assert_eq!(heard, "", "who shows no certificate is not heard");
}
