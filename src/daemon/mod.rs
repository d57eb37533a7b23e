//! Life: wires the rooms, owns the loops, the order of the start and the order of the stop.

pub mod adopt;
pub mod clock;
pub mod config;
pub mod doer;
pub mod facts;
pub mod hands;
pub mod host;
mod kill_point;
pub mod lock;
pub mod network;
pub mod notify;
pub mod reconciler;
pub mod report;
pub mod services;
