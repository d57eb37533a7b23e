//! The options of the `syslog` driver, as addresses and numbers.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use super::Options;
use crate::model::task_definition::validate::FACILITIES;
use crate::shim::spec::{HostSpec, SyslogForm, SyslogSpec, Target, TlsSpec};

/// Where a host's own syslog may listen.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// The port of syslog servers that name none.
const PORT: u16 = 514;

/// `daemon`, as Docker takes it.
const USUAL_FACILITY: u8 = 3;

/// The ways to the server; none when its name has no address now.
pub(super) fn targets(address: &str) -> Vec<Target> {
    let both = |path: &str| [Target::UnixDatagram(path.into()), Target::UnixStream(path.into())];
    match address.split_once("://") {
        Some(("udp", host)) => resolve(host).into_iter().map(Target::Udp).collect(),
        Some(("tcp" | "tcp+tls", host)) => resolve(host).into_iter().map(Target::Tcp).collect(),
        Some(("unixgram", path)) => vec![Target::UnixDatagram(path.into())],
        // A stream first, as Docker does; the usual socket of a host takes messages only.
        Some(("unix", path)) => both(path).into_iter().rev().collect(),
        Some(_) | None => LOCAL.into_iter().flat_map(both).collect(),
    }
}

fn resolve(host: &str) -> Vec<SocketAddr> {
    let found = split(host).to_socket_addrs();
    found.map(Iterator::collect).unwrap_or_default()
}

/// A host and its port.
fn split(host: &str) -> (&str, u16) {
    let given = host.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
    let (name, port) = given.unwrap_or((host, PORT));
    (name.trim_matches(['[', ']']), port)
}

/// The server's name where it has one.
fn host(address: &str) -> Option<HostSpec> {
    let (scheme, host) = address.split_once("://").filter(|(scheme, _)| !scheme.starts_with("unix"))?;
    let (name, port) = split(host);
    let is_address = name.parse::<IpAddr>().is_ok();
    (!is_address).then(|| HostSpec { name: name.to_owned(), port, is_stream: scheme != "udp" })
}

/// The server as its options describe it.
pub(super) fn server(options: &Options<'_>, targets: Vec<Target>, tag: String, hostname: &str) -> SyslogSpec {
    let number = |text: &str| {
        let known = FACILITIES.iter().position(|name| *name == text);
        known.and_then(|at| u8::try_from(at).ok()).or_else(|| text.parse().ok())
    };
    let form = match options.get("syslog-format") {
        Some("rfc3164") => SyslogForm::Rfc3164,
        Some("rfc5424") => SyslogForm::Rfc5424,
        Some("rfc5424micro") => SyslogForm::Rfc5424Micro,
        Some(_) | None => SyslogForm::Local,
    };
    SyslogSpec {
        targets,
        host: options.get("syslog-address").and_then(host),
        facility: options.get("syslog-facility").and_then(number).unwrap_or(USUAL_FACILITY),
        form,
        tag,
        hostname: hostname.to_owned(),
        tls: tls(options),
    }
}

/// How the server is spoken to where its address says `tcp+tls`.
fn tls(options: &Options<'_>) -> Option<TlsSpec> {
    let address = options.get("syslog-address")?.strip_prefix("tcp+tls://")?;
    let (name, _) = split(address);
    let file = |name: &str| options.get(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    Some(TlsSpec {
        name: name.to_owned(),
        authority: file("syslog-tls-ca-cert"),
        certificate: file("syslog-tls-cert"),
        key: file("syslog-tls-key"),
        // Whatever it says, as in Docker.
        skip_verify: options.get("syslog-tls-skip-verify").is_some(),
    })
}
