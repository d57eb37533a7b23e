//! What the store keeps, as rows: a table, a key and a JSON document.
//!
//! Backends know no more than this. A [`Record`] is the typed form; reading one back can fail, and then the row is
//! named and left out rather than taking the others with it.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::model::{
    cluster::Cluster,
    ids::{ClusterName, Family, ServiceName, TaskId},
    reading,
    service::Service,
    task::Task,
    task_definition::TaskDefinition,
    time::Timestamp,
};

/// A service is known by its cluster and its name.
pub type ServiceKey = (ClusterName, ServiceName);

/// An answer that is given again when the same request comes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientToken {
    /// The call, the cluster and the caller's token, as the API puts them together.
    pub key: String,
    /// A digest of the request.
    pub fingerprint: String,
    /// The tasks that the request made.
    #[serde(default)]
    pub tasks: Vec<TaskId>,
    /// When it may be forgotten.
    pub expires_at: Timestamp,
}

/// The highest revision that a family has had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LastRevision {
    pub(super) family: Family,
    pub(super) revision: u32,
}

/// One kind of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Table {
    /// Clusters, by name.
    Cluster,
    /// Task definitions, by `family:revision`.
    TaskDefinition,
    /// The highest revision of each family.
    Revision,
    /// Services, by `cluster/name`.
    Service,
    /// Tasks, by id.
    Task,
    /// Client tokens.
    Token,
    /// Facts about the store itself, by name.
    Meta,
}

impl Table {
    /// Every table, in the order in which rows can be read back: what others refer to comes first.
    pub(super) const ALL: [Self; 7] = [
        Self::Meta,
        Self::Cluster,
        Self::TaskDefinition,
        Self::Revision,
        Self::Service,
        Self::Task,
        Self::Token,
    ];

    /// Its name in a database.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::TaskDefinition => "task_definition",
            Self::Revision => "revision",
            Self::Service => "service",
            Self::Task => "task",
            Self::Token => "token",
            Self::Meta => "meta",
        }
    }
}

/// A row that is written, or removed when it has no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Its table.
    pub table: Table,
    /// Its key there.
    pub key: String,
    /// The new document.
    pub document: Option<String>,
}

/// A row as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its table.
    pub table: Table,
    /// Its key there.
    pub key: String,
    /// The document.
    pub document: String,
}

/// A row with a type.
#[derive(Clone, Debug)]
pub(super) enum Record {
    Cluster(Arc<Cluster>),
    TaskDefinition(Arc<TaskDefinition>),
    Revision(LastRevision),
    Service(Arc<Service>),
    Task(Arc<Task>),
    Token(Arc<ClientToken>),
    Meta(String, String),
}

pub(super) fn service_row(key: &ServiceKey) -> String {
    format!("{}/{}", key.0, key.1)
}

impl Record {
    /// The document to write.
    pub(super) fn document(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::Cluster(cluster) => serde_json::to_string(&**cluster),
            Self::TaskDefinition(definition) => serde_json::to_string(&**definition),
            Self::Revision(last) => serde_json::to_string(last),
            Self::Service(service) => serde_json::to_string(&**service),
            Self::Task(task) => serde_json::to_string(&**task),
            Self::Token(token) => serde_json::to_string(&**token),
            Self::Meta(_, value) => serde_json::to_string(value),
        }
    }

    /// The record that `row` holds.
    pub(super) fn read(row: &Row) -> Result<Self, serde_json::Error> {
        fn arc<T: DeserializeOwned>(text: &str) -> Result<Arc<T>, serde_json::Error> {
            reading::from_str(text).map(Arc::new)
        }
        let text = row.document.as_str();
        Ok(match row.table {
            Table::Cluster => Self::Cluster(arc(text)?),
            Table::TaskDefinition => Self::TaskDefinition(arc(text)?),
            Table::Revision => Self::Revision(reading::from_str(text)?),
            Table::Service => Self::Service(arc(text)?),
            Table::Task => Self::Task(arc(text)?),
            Table::Token => Self::Token(arc(text)?),
            Table::Meta => Self::Meta(row.key.clone(), reading::from_str(text)?),
        })
    }
}
