//! What a service promises: its count is held.

mod crashes;
mod daemon;
mod held;
mod rollout;
