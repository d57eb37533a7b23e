//! ECS on the wire: checks, converts, writes intent, reads facts.
//!
//! A request is read into a type that knows every member ECS has, so that a misspelt one is refused by name. It
//! becomes intent in the store, or an answer made from a snapshot; no call waits for a task and none takes a task's
//! lock. What is not state (logs that go on, pulls) comes from a [`live::Live`] that the daemon supplies.
//!
//! `POST /` speaks the ECS JSON 1.1 protocol ([`operations`]). Beside it, under `/hythe/v1`, is what ECS does not
//! have ([`beside`]). Wire shapes stay in here: `wire` turns the nouns of `model` into the documents of ECS, one
//! file a noun.

mod account_setting;
mod ahead;
mod attribute;
mod beside;
mod capacity_provider;
pub mod client;
mod cluster;
mod constraint;
mod container_instance;
mod crowd;
mod events;
mod identity;
mod keys;
mod launch;
mod listen;
pub mod live;
mod logs;
mod namespace;
mod operations;
mod page;
mod patience;
mod protection;
mod reference;
mod refused;
mod reply;
mod run_task;
mod server;
mod service;
mod service_deployment;
mod service_request;
mod signature;
mod start_task;
mod tags;
mod takeover;
mod task;
mod task_definition;
mod task_request;
mod tls;
mod update_cluster;
mod update_service;
mod wire;

use std::{path::PathBuf, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::Value;

use self::live::Live;
pub use self::{
    identity::Access,
    keys::{Keys, KeysError},
    listen::{Guard, ListenError, Listener},
    refused::{Kind, Refused},
    server::serve,
    tls::{Tls, TlsError},
};
use crate::{
    model::{arn::Owner, reading, resources::Capacity, time::Timestamp},
    store::Store,
};

/// What the API knows of its host.
#[derive(Clone, Debug)]
pub struct Host {
    /// What it has for tasks.
    pub capacity: Capacity,
    /// When it was first registered, for `registeredAt`.
    pub registered_at: Timestamp,
    /// The release of hythe.
    pub version: String,
    /// The directory with `TASK/CONTAINER.log`.
    pub logs: PathBuf,
}

/// Where times and random bytes come from, so that tests can choose them.
pub trait Source: Send + Sync {
    /// Wall time.
    fn now(&self) -> Timestamp;

    /// Sixteen random bytes.
    fn random(&self) -> [u8; 16];
}

/// Everything a request may need.
pub struct Api {
    /// Intent and fact.
    pub store: Store,
    /// In whose names ARNs are written.
    pub owner: Owner,
    /// Conversations.
    pub live: Arc<dyn Live>,
    /// Times and random bytes.
    pub source: Arc<dyn Source>,
    /// This host.
    pub host: Host,
}

/// What came of a call.
type Answer = Result<Value, Refused>;

/// Reads the input of an operation.
fn input<T: DeserializeOwned>(value: Value) -> Result<T, Refused> {
    reading::read(value).map_err(|refusal| Refused::unreadable(&refusal, Kind::InvalidParameterException))
}
