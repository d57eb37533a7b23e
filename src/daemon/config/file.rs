//! The file as it is written: every key optional, none unknown.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;

use super::{
    ApiConfig, Config, HistoryConfig, HostConfig, Signed,
    roles::Roles,
    words::{AbsolutePath, Account, CgroupName, Group, Port, Size},
};
use crate::{
    agent::{CgroupDriver, ContainersConfig, ImagesConfig, LocalStores, PullPolicy},
    model::{
        arn::Owner,
        network::{LinkName, Subnet},
    },
    net::NetConfig,
};

const MEBIBYTE: u64 = 1024 * 1024;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    state_dir: Option<AbsolutePath>,
    runtime_dir: Option<AbsolutePath>,
    cgroup_parent: Option<CgroupName>,
    region: Option<String>,
    account: Option<Account>,
    api: Api,
    network: Network,
    host: Host,
    images: Images,
    containers: Containers,
    services: Services,
    history: History,
    local: LocalFile,
    roles: Roles,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Api {
    socket: Option<AbsolutePath>,
    listen: Option<SocketAddr>,
    keys_file: Option<AbsolutePath>,
    allow_unsigned: bool,
    tls_certificate: Option<AbsolutePath>,
    tls_key: Option<AbsolutePath>,
    allowed_uids: Vec<u32>,
    group: Option<Group>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Network {
    enabled: Option<bool>,
    bridge: Option<LinkName>,
    subnet: Option<Subnet>,
    table: Option<String>,
    mtu: Option<u32>,
    publish_address: Option<Ipv4Addr>,
    ready: Option<u8>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Host {
    cpu: Option<u64>,
    memory: Option<u64>,
    reserved_ports: Vec<Port>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Images {
    pull_policy: PullPolicy,
    plain_http: Vec<String>,
    docker_config: Option<AbsolutePath>,
    ca_files: Vec<AbsolutePath>,
    parallel_layers: Option<NonZeroUsize>,
    pull_attempts: Option<NonZeroU32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Containers {
    cgroup_driver: CgroupDriver,
    allow_privileged: bool,
    allow_new_privileges: bool,
    user_namespaces: bool,
    pids_limit: Option<i64>,
    stop_timeout: Option<u64>,
    log_max_size: Option<Size>,
    log_max_files: Option<u32>,
    journal: Option<AbsolutePath>,
    first_project_id: Option<NonZeroU32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Services {
    healthy_after: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct History {
    keep: Option<u64>,
    most_tasks: Option<usize>,
    most_mb: Option<u64>,
}

/// Where the operator keeps what definitions name by ARN.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LocalFile {
    secrets: Option<AbsolutePath>,
    environment_files: Option<AbsolutePath>,
}

impl From<LocalFile> for LocalStores {
    fn from(file: LocalFile) -> Self {
        let usual = Self::default();
        Self {
            secrets: file.secrets.map_or(usual.secrets, |path| path.0),
            environment_files: file.environment_files.map_or(usual.environment_files, |path| path.0),
        }
    }
}

impl File {
    /// Whether keys that depend on each other are as they must be; what would be, where they are not.
    pub(super) fn goes_together(&self) -> Result<(), &'static str> {
        let Api { listen, keys_file, allow_unsigned, tls_certificate, tls_key, .. } = &self.api;
        if tls_certificate.is_some() != tls_key.is_some() {
            return Err("tls_certificate and tls_key in [api] belong together");
        }
        if keys_file.is_some() && *allow_unsigned {
            return Err(
                "[api] has keys_file, so requests are signed, and allow_unsigned, so they are not; keep one",
            );
        }
        match listen {
            Some(address) if *allow_unsigned && !address.ip().is_loopback() => {
                Err("allow_unsigned in [api] is for a listen address on loopback; elsewhere name a keys_file")
            }
            Some(_) if keys_file.is_none() && !*allow_unsigned => Err(
                "listen in [api] needs keys_file, the keys that requests are signed with, or, on loopback, \
                     allow_unsigned = true",
            ),
            Some(_) | None => Ok(()),
        }
    }
}

impl From<File> for Config {
    fn from(file: File) -> Self {
        let path = |given: Option<AbsolutePath>, usual: &str| {
            given.map_or_else(|| PathBuf::from(usual), |path| path.0)
        };
        let runtime_dir = path(file.runtime_dir, "/run/hythe");
        let ready_networks = file.network.ready.unwrap_or(2).into();
        let publish_address = file.network.publish_address.unwrap_or(Ipv4Addr::UNSPECIFIED);
        Self {
            state_dir: path(file.state_dir, "/var/lib/hythe"),
            cgroup_parent: file.cgroup_parent.map_or_else(|| "hythe".into(), |name| name.0),
            owner: Owner {
                region: file.region.unwrap_or_else(|| "us-east-1".into()),
                account: file.account.map_or_else(|| "000000000000".into(), |account| account.0),
            },
            api: ApiConfig {
                socket: file.api.socket.map_or_else(|| runtime_dir.join("hythe.sock"), |path| path.0),
                listen: file.api.listen,
                signed: file.api.keys_file.map_or(Signed::No, |path| Signed::With(path.0)),
                tls: file.api.tls_certificate.zip(file.api.tls_key).map(|(chain, key)| (chain.0, key.0)),
                allowed_uids: file.api.allowed_uids,
                group: file.api.group.map(|group| group.0),
            },
            network: file.network.into(),
            publish_address,
            ready_networks,
            host: HostConfig {
                cpu: file.host.cpu,
                memory: file.host.memory,
                allow_privileged: file.containers.allow_privileged,
                reserved_ports: file.host.reserved_ports.into_iter().map(|port| port.0).collect(),
            },
            images: file.images.into(),
            containers: file.containers.into(),
            healthy_after: Duration::from_secs(file.services.healthy_after.unwrap_or(40)),
            history: HistoryConfig {
                keep: Duration::from_secs(file.history.keep.unwrap_or(30 * 24 * 60 * 60)),
                most_tasks: file.history.most_tasks.unwrap_or(10_000),
                most_bytes: file.history.most_mb.unwrap_or(1024).saturating_mul(MEBIBYTE),
            },
            local: file.local.into(),
            roles: file.roles.into(),
            runtime_dir,
        }
    }
}

impl From<Network> for Option<NetConfig> {
    fn from(network: Network) -> Self {
        network.enabled.unwrap_or(true).then(|| NetConfig {
            bridge: network.bridge.unwrap_or_else(|| {
                LinkName::parse("hythe0").expect("six letters and digits are an interface name")
            }),
            subnet: network.subnet.unwrap_or_else(|| {
                Subnet::new(Ipv4Addr::new(10, 213, 0, 0), 16).expect("16 bits are not more than 32")
            }),
            table: network.table.unwrap_or_else(|| "hythe".into()),
            mtu: network.mtu,
        })
    }
}

impl From<Images> for ImagesConfig {
    fn from(images: Images) -> Self {
        let usual = Self::default();
        Self {
            pull_policy: images.pull_policy,
            plain_http: images.plain_http,
            docker_config: images.docker_config.map(|path| path.0),
            ca_files: images.ca_files.into_iter().map(|path| path.0).collect(),
            parallel_layers: images.parallel_layers.map_or(usual.parallel_layers, NonZeroUsize::get),
            pull_attempts: images.pull_attempts.map_or(usual.pull_attempts, NonZeroU32::get),
        }
    }
}

impl From<Containers> for ContainersConfig {
    fn from(containers: Containers) -> Self {
        let usual = Self::default();
        Self {
            cgroup_driver: containers.cgroup_driver,
            allow_privileged: containers.allow_privileged,
            allow_new_privileges: containers.allow_new_privileges,
            user_namespaces: containers.user_namespaces,
            pids_limit: containers.pids_limit,
            stop_timeout: containers.stop_timeout.map_or(usual.stop_timeout, Duration::from_secs),
            log_max_size: containers.log_max_size.map_or(usual.log_max_size, |size| size.0),
            log_max_files: containers.log_max_files.unwrap_or(usual.log_max_files),
            journal: containers.journal.map_or(usual.journal, |path| path.0),
            first_project: containers.first_project_id.map(NonZeroU32::get),
        }
    }
}
