//! One folder a promise. Tests that need root say so and are skipped by name, never silently passed.

#![allow(unreachable_pub, reason = "the folders are modules of one program; nothing leaves it")]
#![allow(
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::unwrap_used,
    reason = "a failed test panics"
)]

mod api;
mod cli;
mod clients;
mod crash;
mod harness;
mod image;
mod net;
mod runtime;
mod security;
mod service;
mod style;
mod task;
