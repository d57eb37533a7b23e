//! One task's parent: one thread, no async runtime, outlives the daemon.
//!
//! `hythe shim DIRECTORY` reads the task's [`spec`], starts its containers as `plan::task` says, and stays until the
//! last has ended. What it sees goes into the [`ledger`] first and then to whoever is connected ([`protocol`]). The
//! output of the containers goes to files ([`logs`]).
//!
//! [`client`] is the other end, for the agent: it starts shims, finds them again, and reads what they saw.

pub mod client;
pub mod defaults;
pub mod ledger;
pub mod logs;
pub mod protocol;
pub mod remains;
pub mod spec;
