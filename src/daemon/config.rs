//! The configuration of an instance: a TOML file in which every key may be left out.
//!
//! Everything that an instance touches on the host is named here, so two instances with different names stand side
//! by side: state directory, runtime directory, cgroup parent, bridge, subnet, nftables table, socket and address of
//! the API. What a user wrote ([`file`]) and what the daemon does ([`Config`]) are two types.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    agent::{AgentConfig, ContainersConfig, ImagesConfig, LocalStores, RoleSource},
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

    /// What the agent is told of it, and of this program's own file.
    pub(super) fn agent(&self) -> io::Result<AgentConfig> {
        Ok(AgentConfig {
            owner: self.owner.clone(),
            state_dir: self.state_dir.clone(),
            runtime_dir: self.runtime_dir.clone(),
            cgroup_parent: self.cgroup_parent.clone(),
            executable: env::current_exe()?,
            publish_address: self.publish_address,
            ready_networks: self.ready_networks,
            images: self.images.clone(),
            containers: self.containers.clone(),
            local: self.local.clone(),
            roles: self.roles.clone(),
            api_socket: Some(self.api.socket.clone()),
        })
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
mod tests;
