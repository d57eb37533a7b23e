//! Life: wires the rooms, owns the loops, the order of the start and the order of the stop.

pub mod clock;
pub mod config;
pub mod host;
pub mod lock;
pub mod notify;
