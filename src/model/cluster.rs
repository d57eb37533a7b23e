//! A cluster: a namespace for services and tasks on this host.

use serde::{Deserialize, Serialize};

use super::{
    ids::{ClusterName, InstanceId},
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
    /// When it was created.
    pub created_at: Timestamp,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Members that are kept and echoed: settings, configuration, strategies.
    #[serde(default)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}
