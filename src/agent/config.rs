//! What an agent is told about its instance, and what holds where nobody says otherwise.
//!
//! The names are those of the configuration file, so that an operator's word and ours for a thing are the same.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{RoleSource, places::Places};
use crate::{image::pull::PullOptions, model::arn::Owner, shim::groups::CgroupDriver};

/// What an agent is told about its instance.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// In whose names ARNs are written.
    pub owner: Owner,
    /// Where tasks, images, volumes and logs are kept.
    pub state_dir: PathBuf,
    /// Where the shims' sockets are.
    pub runtime_dir: PathBuf,
    /// The cgroup above all tasks, such as `hythe`.
    pub cgroup_parent: String,
    /// The program that a shim is: this one.
    pub executable: PathBuf,
    /// The host address that ports are published on.
    pub publish_address: Ipv4Addr,
    /// How many networks are kept ready for tasks to come.
    pub ready_networks: usize,
    /// How images come here.
    pub images: ImagesConfig,
    /// What containers get and may ask for.
    pub containers: ContainersConfig,
    /// Where the operator keeps what definitions name by ARN.
    pub local: LocalStores,
    /// Whom the credentials of each task role, by its ARN, come from.
    pub roles: BTreeMap<String, RoleSource>,
    /// Where the API listens on this host, for what a task asks of it about itself.
    pub api_socket: Option<PathBuf>,
}

impl AgentConfig {
    pub(super) fn places(&self) -> Places {
        Places::new(&self.state_dir, &self.runtime_dir)
    }
}

/// How images come here.
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl Default for ImagesConfig {
    fn default() -> Self {
        Self {
            pull_policy: PullPolicy::default(),
            plain_http: Vec::new(),
            docker_config: None,
            ca_files: Vec::new(),
            parallel_layers: 3,
            pull_attempts: 5,
        }
    }
}

impl ImagesConfig {
    /// The same for whoever pulls.
    pub(super) fn options(&self) -> PullOptions {
        PullOptions {
            docker_config: self.docker_config.clone(),
            insecure_hosts: self.plain_http.clone(),
            ca_files: self.ca_files.clone(),
            parallel: self.parallel_layers,
            ..PullOptions::default()
        }
    }
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// Every time; an image that is here will do when that fails.
    #[default]
    Default,
    /// Every time, or the task fails.
    Always,
    /// Once; an image that is here will do for ever.
    Once,
    /// Only when it is not here.
    PreferCached,
}

/// What containers get and may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainersConfig {
    /// Who makes the cgroups of tasks.
    pub cgroup_driver: CgroupDriver,
    /// Whether `privileged` is granted.
    pub allow_privileged: bool,
    /// Whether a program may gain privileges by running a set-user-id file.
    pub allow_new_privileges: bool,
    /// Whether tasks have users of their own, so that root in a container is nobody on the host.
    pub user_namespaces: bool,
    /// The most processes and threads in a container; `None` for the host's limit.
    pub pids_limit: Option<i64>,
    /// The grace between the stop signal and SIGKILL where the definition names none.
    pub stop_timeout: Duration,
    /// The largest log file, in bytes.
    pub log_max_size: u64,
    /// How many log files of a container are kept.
    pub log_max_files: u32,
    /// Where the host's journal listens.
    pub journal: PathBuf,
    /// The first of the project ids by which tasks are held to what they may write, if it is not to be chosen.
    pub first_project: Option<u32>,
}

impl Default for ContainersConfig {
    fn default() -> Self {
        Self {
            cgroup_driver: CgroupDriver::default(),
            allow_privileged: false,
            allow_new_privileges: false,
            user_namespaces: false,
            pids_limit: None,
            stop_timeout: Duration::from_secs(30),
            log_max_size: 10 << 20,
            log_max_files: 3,
            journal: Path::new("/run/systemd/journal/socket").into(),
            first_project: None,
        }
    }
}

/// Where the operator keeps what definitions name by ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalStores {
    /// Secrets and parameters: a directory of files that only root can read.
    pub secrets: PathBuf,
    /// Environment files: a directory with one for each bucket.
    pub environment_files: PathBuf,
}

impl Default for LocalStores {
    fn default() -> Self {
        Self { secrets: "/etc/hythe/secrets".into(), environment_files: "/etc/hythe/environment".into() }
    }
}
