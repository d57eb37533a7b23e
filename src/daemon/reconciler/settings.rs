//! What the loop is told once.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use crate::{
    daemon::{
        config::{Config, HistoryConfig},
        host, system,
    },
    model::resources::Capacity,
};

/// What the loop is told once.
pub struct Settings {
    /// How long a task of a service must run, without a health check, to count as healthy.
    pub healthy_after: Duration,
    /// What the host has for tasks.
    pub capacity: Capacity,
    /// How long what is over is remembered.
    pub history: HistoryConfig,
    /// Spreads the waits of services, differently on each host.
    pub seed: u64,
    /// Where ids come from.
    pub random: fn() -> [u8; 16],
    /// Whether tasks are only stopped and swept: services are left as they are and get nothing new.
    pub is_ending: bool,
}

impl Settings {
    /// Those of an instance on this host.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut hasher = DefaultHasher::new();
        (&config.state_dir, host::boot_id()).hash(&mut hasher);
        Self {
            healthy_after: config.healthy_after,
            capacity: host::capacity(&config.host, &config.owner.region),
            history: config.history,
            seed: hasher.finish(),
            random: system::random,
            is_ending: false,
        }
    }
}
