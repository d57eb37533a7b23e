//! What a task may learn of itself: the documents of ECS's metadata endpoint, version 4, member by member.
//!
//! The agent writes them into [`FILE`] with all that does not change while the task runs; the shim adds the rest at each
//! question. Only root can read the file, because it holds the names under which each container asks.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::reading;

/// The name of the file in the task's directory.
pub const FILE: &str = "metadata.json";

/// What is known of a task before it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// Where the daemon listens, for what it alone can answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<PathBuf>,
    /// The role whose credentials it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<KnownRole>,
    /// The task, without its containers.
    pub task: TaskDocument,
    /// The containers, in the definition's order.
    pub containers: Vec<KnownContainer>,
}

/// The role whose credentials a task may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownRole {
    /// The name under which the task asks for them: a UUID that nobody can guess.
    pub id: String,
    /// The role, as the configuration names it.
    pub arn: String,
}

/// What is known of a container before it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KnownContainer {
    /// The name under which it asks: a UUID that nobody can guess.
    pub endpoint: String,
    /// The container.
    pub document: ContainerDocument,
}

/// A task.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the words are ECS's own, and its guide says what they mean")]
pub struct TaskDocument {
    pub cluster: String,
    #[serde(rename = "TaskARN")]
    pub task_arn: String,
    pub family: String,
    pub revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    pub desired_status: String,
    pub known_status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_stopped_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_stopped_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_tags: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_instance_tags: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<TagError>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault_injection_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_drift: Option<ClockDrift>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage_metrics: Option<EphemeralStorage>,
}

/// Tags that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the words are ECS's own, and its guide says what they mean")]
pub struct TagError {
    pub error_field: String,
    pub error_code: String,
    pub error_message: String,
    pub status_code: u16,
    #[serde(rename = "ResourceARN")]
    pub resource_arn: String,
}

/// How well the host's clock is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ClockDrift {
    /// Milliseconds that it may be off at most.
    pub clock_error_bound: f64,
    /// When that was so.
    pub reference_timestamp: String,
    /// `SYNCHRONIZED` or `NOT_SYNCHRONIZED`.
    pub clock_synchronization_status: String,
}

/// What the containers of a task have written, and what they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EphemeralStorage {
    /// MiB that are written.
    #[serde(default)]
    pub utilized: u64,
    /// MiB that are asked for.
    pub reserved: u64,
}

/// A container of a task.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the words are ECS's own, and its guide says what they mean")]
pub struct ContainerDocument {
    pub docker_id: String,
    pub name: String,
    pub docker_name: String,
    pub image: String,
    #[serde(rename = "ImageID")]
    pub image_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    pub desired_status: String,
    pub known_status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    pub limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_driver: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub log_options: BTreeMap<String, String>,
    #[serde(rename = "ContainerARN", skip_serializing_if = "Option::is_none")]
    pub container_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshotter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_count: Option<u32>,
}

/// What a task or a container may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Processors of a task, units of a container.
    #[serde(rename = "CPU", default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// MiB.
    #[serde(rename = "Memory", default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the words are ECS's own, and its guide says what they mean")]
pub struct Port {
    pub container_port: u16,
    pub protocol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<String>,
}

/// What a health check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the words are ECS's own, and its guide says what they mean")]
pub struct Health {
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_since: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// A volume of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the words are ECS's own, and its guide says what they mean")]
pub struct Volume {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub destination: String,
}

/// A network of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "the words are ECS's own, and its guide says what they mean")]
pub struct Network {
    pub network_mode: String,
    #[serde(rename = "IPv4Addresses")]
    pub ipv4_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_index: Option<u32>,
    #[serde(rename = "MACAddress", skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    #[serde(rename = "IPv4SubnetCIDRBlock", skip_serializing_if = "Option::is_none")]
    pub ipv4_subnet_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domain_name_servers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_gateway_ipv4_address: Option<String>,
}

impl Known {
    /// Reads the file at `path`.
    pub fn load(path: &Path) -> io::Result<Self> {
        Ok(reading::from_slice(&fs::read(path)?)?)
    }

    /// Writes the file at `path`, for root alone.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
        file?.write_all(&text)
    }
}

impl TaskDocument {
    /// The same as version 3 had it.
    pub(super) fn before_v4(mut self) -> Self {
        (self.service_name, self.launch_type, self.group) = (None, None, None);
        (self.fault_injection_enabled, self.clock_drift) = (None, None);
        self.ephemeral_storage_metrics = None;
        self.containers = self.containers.into_iter().map(ContainerDocument::before_v4).collect();
        self
    }
}

impl ContainerDocument {
    /// The same as version 3 had it.
    pub(super) fn before_v4(mut self) -> Self {
        (self.log_driver, self.container_arn, self.snapshotter) = (None, None, None);
        (self.log_options, self.restart_count) = (BTreeMap::new(), None);
        for network in &mut self.networks {
            let (network_mode, ipv4_addresses) =
                (std::mem::take(&mut network.network_mode), std::mem::take(&mut network.ipv4_addresses));
            *network = Network { network_mode, ipv4_addresses, ..Network::default() };
        }
        self
    }
}
