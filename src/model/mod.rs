//! Nouns: what hythe talks about. No I/O, no clock, no async.
//!
//! Text from outside becomes a type at the door ([`ids`], [`arn`]), so that a name that exists is a name that is
//! well formed. [`task_definition`] is the document a user registers; [`task`] and [`service`] are what hythe keeps
//! about a run of it; [`fact`] is what was seen to happen, and the only thing that moves a known status.
//!
//! Every status comes in two: *desired*, which only intent changes, and *known*, which only facts change.
//!
//! These types know nothing of the wire. Their serde form is the storage form, in the spelling of the ECS
//! documents; `api::wire` adds what a response has beyond it.

pub mod action;
pub mod arn;
pub mod cluster;
pub mod credentials;
pub mod exec;
pub mod fact;
pub mod form;
pub mod ids;
pub mod lifecycle;
pub mod network;
pub mod placement;
pub mod progress;
pub mod provider;
pub mod reading;
pub mod report;
pub mod resources;
pub mod service;
pub mod size;
pub mod task;
pub mod task_definition;
#[cfg(test)]
pub(crate) mod tests;
pub mod time;
