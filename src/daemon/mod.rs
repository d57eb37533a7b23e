//! Life: wires the rooms, owns the loops, the order of the start and the order of the stop.
//!
//! ```text
//!             store <---------------- facts <------ agent
//!               | watch                               ^
//!               v                                     | orders
//!          reconciler -- plan::service, plan::admit --+
//! ```
//!
//! [`reconciler`] compares what should be with what is and orders the next steps; [`facts`] writes what was seen;
//! [`network`] keeps the firewall; [`adopt`] finds the tasks of an earlier daemon. [`life`] has the order of the start
//! and of the stop. The loops sleep until there is a reason to wake, and each contains its own failures.
//!
//! The daemon decides nothing about a service or a task: that is `plan`. It forks no container: that is the shims',
//! which outlive it.

pub mod adopt;
pub mod alarms;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod doer;
mod doors;
pub mod down;
mod face;
pub mod facts;
pub mod failure;
pub mod hands;
mod history;
pub mod host;
pub mod life;
pub mod live;
pub mod lock;
pub mod logging;
mod loops;
pub mod network;
pub mod notify;
pub mod reconciler;
pub mod services;
pub mod settings;
pub mod system;

use crate::model::report;
pub use doctor::examine;
pub use face::{main, take_down};
