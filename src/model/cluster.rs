//! A cluster: a namespace for services and tasks on this host.

use serde::{Deserialize, Serialize};

use super::{
    ids::{ClusterName, InstanceId},
    resources::Traits,
    task::Tag,
    time::Timestamp,
};

/// Whether a cluster takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClusterStatus {
    /// It does.
    Active,
    /// It was deleted and stays describable.
    Inactive,
}

/// Whether this host, as one cluster's container instance, takes new tasks of that cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InstanceStatus {
    /// It does.
    #[default]
    Active,
    /// It does not; tasks that run go on until something else ends them.
    Draining,
}

/// An attribute that somebody gave this host as one cluster's container instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// 1 to 128 characters, unique on its instance.
    pub name: String,
    /// At most 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A cluster as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Whether it takes work.
    pub status: ClusterStatus,
    /// This host as the cluster's container instance.
    pub instance: InstanceId,
    /// Whether this host takes new tasks of the cluster.
    #[serde(default)]
    pub instance_status: InstanceStatus,
    /// Attributes of the instance beside those that the host has by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instance_attributes: Vec<Attribute>,
    /// Tags of the instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instance_tags: Vec<Tag>,
    /// Counts up with each change of the instance.
    #[serde(default)]
    pub instance_changes: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Members that are kept and echoed: settings, configuration, strategies.
    #[serde(default)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Cluster {
    /// An ACTIVE cluster without settings, to which this host is known as `instance`.
    #[must_use]
    pub fn new(name: ClusterName, instance: InstanceId, created_at: Timestamp) -> Self {
        Self {
            name,
            status: ClusterStatus::Active,
            instance,
            instance_status: InstanceStatus::Active,
            instance_attributes: Vec::new(),
            instance_tags: Vec::new(),
            instance_changes: 0,
            created_at,
            tags: Vec::new(),
            extra: serde_json::Map::new(),
        }
    }

    /// What the instance is called by: what the host is by itself, and what somebody said of it.
    #[must_use]
    pub fn attributes(&self, traits: &Traits) -> Vec<Attribute> {
        traits.attributes().chain(self.instance_attributes.iter().cloned()).collect()
    }
}
