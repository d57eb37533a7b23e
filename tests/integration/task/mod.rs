//! What one task promises: in the hands of its shim, and through the command line and the API.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod agent;
mod counts;
mod credentials;
mod environment;
mod exec;
mod failures;
mod health;
mod identity;
mod input;
mod lab;
mod life;
mod limits;
mod logs;
mod members;
mod metadata;
mod order;
mod output;
mod paths;
mod placement;
mod ports;
mod restart;
mod secrets;
mod shim;
mod sinks;
mod stop;
mod storage;
mod systemd;
mod together;
mod volumes;
