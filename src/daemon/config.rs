//! The configuration of an instance: a TOML file in which every key may be left out.
//!
//! Everything that an instance touches on the host is named here, so two instances with different names stand side
//! by side: state directory, runtime directory, cgroup parent, bridge, subnet, nftables table, socket and address of
//! the API. What a user wrote ([`file`]) and what the daemon does ([`Config`]) are two types.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    agent::{CgroupDriver, LocalStores, PullPolicy, RoleSource},
    model::{arn::Owner, resources::HostPort},
    net::NetConfig,
};

mod file;
mod roles;
mod text;
mod words;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/hythe/hythe.toml";

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Keys that do not go together.
    #[error("{}: {message}", path.display())]
    Together {
        /// The file.
        path: PathBuf,
        /// What does not, and what would.
        message: &'static str,
    },
    /// A key or a value is not valid.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The character of the line, from 1.
        column: usize,
        /// What is wrong with it.
        message: String,
    },
}

/// What an instance is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What survives a reboot.
    pub state_dir: PathBuf,
    /// What does not.
    pub runtime_dir: PathBuf,
    /// The cgroup above all tasks.
    pub cgroup_parent: String,
    /// In whose names ARNs are written.
    pub owner: Owner,
    /// The doors of the API.
    pub api: ApiConfig,
    /// The network of the tasks; none when it is switched off.
    pub network: Option<NetConfig>,
    /// The host address that ports are published on.
    pub publish_address: Ipv4Addr,
    /// How many networks are kept ready for tasks to come.
    pub ready_networks: usize,
    /// What the host gives to tasks, where that is not all it has.
    pub host: HostConfig,
    /// How images come here.
    pub images: ImagesConfig,
    /// What containers get and may ask for.
    pub containers: ContainersConfig,
    /// How long a task of a service must run, without a health check, to count as healthy.
    pub healthy_after: Duration,
    /// How long what is over is remembered.
    pub history: HistoryConfig,
    /// Where the operator keeps what definitions name by ARN.
    pub local: LocalStores,
    /// Whom the credentials of each task role, by its ARN, come from.
    pub roles: BTreeMap<String, RoleSource>,
}

/// The doors of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiConfig {
    /// The unix socket.
    pub socket: PathBuf,
    /// A TCP address, when there is one.
    pub listen: Option<SocketAddr>,
    /// Who may call there.
    pub signed: Signed,
    /// The files of a certificate and its key, for TLS there.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Users who may call over the socket, besides root and the daemon's own.
    pub allowed_uids: Vec<u32>,
    /// The group that the socket belongs to.
    pub group: Option<u32>,
}

/// Whether requests over TCP are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// Everybody on this host may call.
    No,
    /// With a key of this file.
    With(PathBuf),
}

/// What the host gives to tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostConfig {
    /// CPU units; all processors when absent.
    pub cpu: Option<u64>,
    /// MiB; all memory when absent.
    pub memory: Option<u64>,
    /// Ports that no task gets.
    pub reserved_ports: BTreeSet<HostPort>,
    /// Whether tasks with `privileged` containers are placed here.
    pub allow_privileged: bool,
}

/// How images come here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagesConfig {
    /// When an image is pulled.
    pub pull_policy: PullPolicy,
    /// Registries, as `host` or `host:port`, that are spoken to over plain HTTP; loopback always is.
    pub plain_http: Vec<String>,
    /// Docker's `config.json`, when it is not in its usual place.
    pub docker_config: Option<PathBuf>,
    /// Files with certificates of further authorities.
    pub ca_files: Vec<PathBuf>,
    /// How many layers of an image are brought at a time.
    pub parallel_layers: usize,
    /// How often a task's pull is tried where waiting may help.
    pub pull_attempts: u32,
}

/// What containers get and may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainersConfig {
    /// Who makes the cgroups of tasks.
    pub cgroup_driver: CgroupDriver,
    /// Whether `privileged` is granted.
    pub allow_privileged: bool,
    /// Whether set-user-id programs gain privileges.
    pub allow_new_privileges: bool,
    /// Whether tasks have users of their own.
    pub user_namespaces: bool,
    /// The most processes and threads of one container.
    pub pids_limit: Option<i64>,
    /// Between the stop signal and SIGKILL, where the definition says nothing.
    pub stop_timeout: Duration,
    /// The largest log file, in bytes.
    pub log_max_size: u64,
    /// How many log files of a container are kept.
    pub log_max_files: u32,
    /// Where the host's journal listens.
    pub journal: PathBuf,
    /// The first of the project ids of the state directory's file system that are this instance's.
    pub first_project: u32,
}

/// How long what is over is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    /// How long a stopped task and its logs are kept.
    pub keep: Duration,
    /// At most so many stopped tasks are kept.
    pub most_tasks: usize,
    /// At most so many bytes of logs of stopped tasks are kept; the oldest tasks go first.
    pub most_bytes: u64,
}

impl Config {
    /// Reads the file at `path`, or [`DEFAULT_FILE`] if there is one.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let named = path.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(named) {
            Ok(text) => Self::parse(&text, named),
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_none() => Self::parse("", named),
            Err(source) => Err(ConfigError::Read { path: named.to_owned(), source }),
        }
    }

    /// Reads the text of the file at `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file: file::File = text::read(text).map_err(|wrong| explain(&wrong, text, path))?;
        file.goes_together().map_err(|message| ConfigError::Together { path: path.to_owned(), message })?;
        Ok(file.into())
    }
}

/// What is wrong with its place, and with the nearest word for a key that does not exist.
fn explain((at, sentence): &(usize, String), text: &str, path: &Path) -> ConfigError {
    let at = (*at).min(text.len());
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&letter| letter != '\n').count() + 1;
    let message = unknown_key(sentence).unwrap_or_else(|| sentence.clone());
    ConfigError::Invalid { path: path.to_owned(), line, column, message }
}

fn unknown_key(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ").map(|rest| ("key", rest));
    let (what, rest) =
        rest.or_else(|| message.strip_prefix("unknown variant ").map(|rest| ("value", rest)))?;
    let mut words = rest.split('`').skip(1).step_by(2);
    let wrong = words.next()?;
    let near = words
        .map(|word| (strsim::damerau_levenshtein(wrong, word), word))
        .filter(|(distance, word)| *distance <= word.len().div_ceil(2))
        .min_by_key(|(distance, _)| *distance);
    let hint = near.map_or_else(String::new, |(_, word)| format!("; did you mean \"{word}\"?"));
    Some(format!("unknown {what} \"{wrong}\"{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("hythe.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_may_be_left_out() {
        let config = parse("").unwrap();
        assert_eq!(config.state_dir, Path::new("/var/lib/hythe"));
        assert_eq!(config.api.socket, Path::new("/run/hythe/hythe.sock"));
        assert_eq!(config.cgroup_parent, "hythe");
        let network = config.network.unwrap();
        assert_eq!((network.bridge.as_str(), network.table.as_str()), ("hythe0", "hythe"));
    }

    #[test]
    fn the_packaged_file_says_what_holds_without_it() {
        let packaged = include_str!("../../scripts/package/hythe.toml");
        let usual = parse("").unwrap();
        assert_eq!(parse(packaged).unwrap(), usual);
        let written: String = packaged
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if key.starts_with(|first: char| first.is_ascii_lowercase()) => format!("{key}\n"),
                Some(_) | None => format!("{line}\n"),
            })
            .collect();
        let all = parse(&written).unwrap();
        assert_eq!((&all.state_dir, &all.runtime_dir), (&usual.state_dir, &usual.runtime_dir));
        assert_eq!((&all.cgroup_parent, &all.owner), (&usual.cgroup_parent, &usual.owner));
        assert_eq!(all.api.socket, usual.api.socket);
        assert_eq!(
            all.network.map(|net| (net.bridge, net.subnet)),
            usual.network.map(|net| (net.bridge, net.subnet))
        );
        assert_eq!(all.images.parallel_layers, usual.images.parallel_layers);
        assert_eq!(all.containers.cgroup_driver, usual.containers.cgroup_driver);
        assert_eq!(all.containers.log_max_size, usual.containers.log_max_size);
        assert_eq!(all.containers.log_max_files, usual.containers.log_max_files);
        assert_eq!(all.containers.journal, usual.containers.journal);
        assert_eq!(all.containers.first_project, usual.containers.first_project);
        assert_eq!((all.healthy_after, all.history), (usual.healthy_after, usual.history));
        assert_eq!(usual.healthy_after, Duration::from_secs(40), "as in ECS");
    }

    #[test]
    fn the_socket_follows_the_runtime_directory() {
        let config = parse("runtime_dir = \"/run/blue\"").unwrap();
        assert_eq!(config.api.socket, Path::new("/run/blue/hythe.sock"));
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_place_and_the_nearest_word() {
        let refused = parse("\n[network]\nbridg = \"x\"\n").unwrap_err();
        assert_eq!(refused, "hythe.toml:3:1: unknown key \"bridg\"; did you mean \"bridge\"?");
        let refused = parse("colour = 1").unwrap_err();
        assert_eq!(refused, "hythe.toml:1:1: unknown key \"colour\"");
        let refused = parse("[images]\npull_policy = \"allways\"").unwrap_err();
        assert_eq!(refused, "hythe.toml:2:15: unknown value \"allways\"; did you mean \"always\"?");
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_place() {
        let refused = parse("[network]\nsubnet = \"10.0.0.0\"").unwrap_err();
        assert_eq!(refused, "hythe.toml:2:10: '10.0.0.0' is not an IPv4 network like 10.88.0.0/16");
        let refused = parse("state_dir = \"var/lib\"").unwrap_err();
        assert_eq!(refused, "hythe.toml:1:13: \"var/lib\" is not an absolute path");
        let refused = parse("cgroup_parent = \"../x\"").unwrap_err();
        assert!(refused.contains("is not the name of a cgroup"), "{refused}");
        let refused = parse("[containers]\ncgroup_driver = \"cgroupfs\"").unwrap_err();
        assert_eq!(refused, "hythe.toml:2:17: unknown value \"cgroupfs\"");
        let refused = parse("[containers]\nlog_max_size = \"many\"").unwrap_err();
        assert!(refused.starts_with("hythe.toml:2:16: "), "{refused}");
    }

    #[test]
    fn over_tcp_requests_are_signed_unless_the_file_says_otherwise() {
        let refused = parse("[api]\nlisten = \"127.0.0.1:8080\"").unwrap_err();
        assert!(refused.contains("keys_file") && refused.contains("allow_unsigned"), "{refused}");
        let unsigned = parse("[api]\nlisten = \"127.0.0.1:8080\"\nallow_unsigned = true").unwrap();
        assert_eq!(unsigned.api.signed, Signed::No);
        let signed = parse("[api]\nlisten = \"0.0.0.0:8080\"\nkeys_file = \"/k\"").unwrap();
        assert_eq!(signed.api.signed, Signed::With("/k".into()));
        for both in [
            "[api]\nlisten = \"127.0.0.1:1\"\nkeys_file = \"/k\"\nallow_unsigned = true",
            "[api]\nlisten = \"0.0.0.0:1\"\nallow_unsigned = true",
            "[api]\ntls_certificate = \"/c\"",
        ] {
            assert!(parse(both).is_err(), "{both}");
        }
    }

    #[test]
    fn sizes_and_ports_are_read_as_people_write_them() {
        let config =
            parse("[containers]\nlog_max_size = \"64k\"\n[host]\nreserved_ports = [22, \"53/udp\"]").unwrap();
        assert_eq!(config.containers.log_max_size, 64 * 1024);
        assert_eq!(config.host.reserved_ports.len(), 2);
    }

    #[test]
    fn a_role_has_one_source() {
        let role = |members: &str| parse(&format!("[roles.\"arn:aws:iam::1:role/app\"]\n{members}"));
        let of = |members: &str| role(members).unwrap().roles["arn:aws:iam::1:role/app"].clone();
        let file = |profile: &str| RoleSource::Static { file: "/f".into(), profile: profile.into() };
        assert_eq!(of("static = \"/f\""), file("default"));
        assert_eq!(of("static = \"/f\"\nprofile = \"p\""), file("p"));
        let command = vec!["/vend".to_owned(), "x".to_owned()];
        let limit = Duration::from_secs(60);
        assert_eq!(of("credential_process = [\"/vend\", \"x\"]"), RoleSource::Process { command, limit });
        for wrong in [
            "",
            "static = \"f\"",
            "profile = \"p\"",
            "credential_process = []",
            "credential_process = [\"vend\"]",
            "static = \"/f\"\ncredential_process = [\"/vend\"]",
            "static = \"/f\"\ntimeout = 3",
            "credential_process = [\"/vend\"]\ntimeout = 0",
        ] {
            assert!(role(wrong).is_err(), "{wrong}");
        }
        let refused = parse("[roles.app]\nstatic = \"/f\"").unwrap_err();
        assert!(refused.contains("\"app\" is not the ARN of a role"), "{refused}");
    }

    #[test]
    fn the_network_can_be_switched_off() {
        assert_eq!(parse("[network]\nenabled = false").unwrap().network, None);
    }
}
