//! What a service promises: its count is held.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod crashes;
mod daemon;
mod deployments;
mod held;
mod leaving;
mod rollout;
