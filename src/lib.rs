//! hythe lands task containers on a Linux host: images become root filesystems, containers of a task share one
//! network namespace, and services keep their desired count.
//!
//! The rooms, from the ground up. A room may name only the rooms its line in `docs/ARCHITECTURE.md` allows;
//! `tests/integration/style` holds that table.
//!
//! *Intent* goes down, *facts* come up, and they meet only in the store.

pub mod model;

pub mod kernel;

pub mod plan;
pub mod store;

pub mod image;
pub mod net;
pub mod runtime;

pub mod agent;
pub mod api;
pub mod shim;

pub mod cli;
pub mod daemon;
