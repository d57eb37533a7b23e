//! ECS on the wire: checks, converts, writes intent, reads facts.
//!
//! A request is read into a type that knows every member ECS has, so that a misspelt one is refused by name. It
//! becomes intent in the store, or an answer made from a snapshot; no call waits for a task and none takes a task's
//! lock. What is not state (logs that go on, pulls) comes from a [`live::Live`] that the daemon supplies.
//!
//! `POST /` speaks the ECS JSON 1.1 protocol. Beside it, under `/hythe/v1`, is what ECS does not have.
//!
//! Wire shapes stay in here: [`wire`] turns the nouns of `model` into the documents of ECS, one file a noun.

pub mod client;
pub mod live;
mod server;

use std::sync::Arc;

use self::live::Live;
pub use self::server::{Access, ListenError, Listener, serve};
use crate::{
    model::{arn::Owner, resources::Capacity, time::Timestamp},
    store::Store,
};

/// What the API knows of its host.
#[derive(Clone, Debug)]
pub struct Host {
    /// What it has for tasks.
    pub capacity: Capacity,
    /// `x86_64` or `arm64`, as ECS writes it.
    pub architecture: String,
    /// When it was first registered, for `registeredAt`.
    pub registered_at: Timestamp,
    /// The release of hythe.
    pub version: String,
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
