//! Where a container's output goes: into files, or to somebody else on this host or another.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Where a container's output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogSpec {
    /// The file that is written; older ones have `.1`, `.2` … behind the name. Drivers that keep nothing here write none.
    pub path: PathBuf,
    /// Bytes at which a new file is begun.
    #[serde(default = "LogSpec::default_size")]
    pub max_size: u64,
    /// Files that are kept, the one being written included.
    #[serde(default = "LogSpec::default_files")]
    pub max_files: u32,
    /// Who takes it.
    #[serde(default)]
    pub driver: Driver,
}

/// Who takes a container's output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "name")]
pub enum Driver {
    /// Files of our own form.
    #[default]
    File,
    /// The same, with the lines of an event as one entry.
    Events {
        /// The regular expression that the first line of an event matches.
        begin: String,
    },
    /// Files of Docker's form.
    JsonFile {
        /// Members of `attrs` of each line.
        #[serde(default)]
        attributes: BTreeMap<String, String>,
        /// Whether older files are compressed.
        #[serde(default)]
        compress: bool,
    },
    /// The host's journal; nothing is kept here.
    Journald {
        /// Its socket.
        socket: PathBuf,
        /// What stands in each entry beside the message.
        fields: Vec<(String, String)>,
        /// What happens when the journal is slow.
        delivery: Delivery,
    },
    /// A syslog server; nothing is kept here.
    Syslog {
        /// Which, and how it is spoken to.
        server: SyslogSpec,
        /// What happens when it is slow.
        delivery: Delivery,
    },
}

/// What happens when whoever takes the output is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Whether the container waits; otherwise lines are dropped and counted.
    pub blocking: bool,
    /// Bytes of lines that wait at most.
    pub most: u64,
}

/// A syslog server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyslogSpec {
    /// Where it may be, tried in this order.
    pub targets: Vec<Target>,
    /// Its name, to be looked up anew when none of them answers; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostSpec>,
    /// The number of the facility, 0 to 23.
    pub facility: u8,
    /// How a message is written.
    pub form: SyslogForm,
    /// What the container is called there.
    pub tag: String,
    /// What this host is called there.
    pub hostname: String,
    /// How what is said over the network is kept from others; it is not where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
}

/// A server's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostSpec {
    /// The name.
    pub name: String,
    /// The port that it listens on.
    pub port: u16,
    /// Whether it takes a stream of lines; packets otherwise.
    pub is_stream: bool,
}

/// How what is said to a server is kept from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// The name that the server's certificate must have.
    pub name: String,
    /// A file of the authorities that may have signed it; those of the host where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<PathBuf>,
    /// A file of our own certificate, where the server wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// A file of its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Whether any certificate will do.
    #[serde(default)]
    pub skip_verify: bool,
}

/// One way to somebody who takes output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A unix socket that takes a message at a time.
    UnixDatagram(PathBuf),
    /// A unix socket that takes a stream of lines.
    UnixStream(PathBuf),
    /// Packets over the network.
    Udp(SocketAddr),
    /// A stream of lines over the network.
    Tcp(SocketAddr),
}

/// How a syslog message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SyslogForm {
    /// As programs on a host speak to its own syslog: RFC 3164 without the host's name.
    Local,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424 with a time in whole seconds.
    Rfc5424,
    /// RFC 5424 with microseconds.
    Rfc5424Micro,
}

impl LogSpec {
    /// Five files of 10 MiB at `path`.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        let (max_size, max_files) = (Self::default_size(), Self::default_files());
        Self { path, max_size, max_files, driver: Driver::File }
    }

    fn default_size() -> u64 {
        10 << 20
    }

    fn default_files() -> u32 {
        5
    }
}
