//! What a pass needs beside the state, and what all passes of a host share.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{pass, times_of};
use crate::{
    daemon::{
        clock::{self, Moments},
        reconciler::Settings,
    },
    model::{
        resources::Capacity,
        time::{Moment, Timestamp},
    },
    store::{Draft, ServiceKey, Snapshot},
};

/// What a pass needs beside the state.
#[derive(Clone)]
pub struct PassContext {
    /// Monotonic time.
    pub now: Moment,
    /// Wall time.
    pub wall: Timestamp,
    /// Moments of the wall times that the view asks for.
    pub moments: Arc<BTreeMap<Timestamp, Moment>>,
    /// How long a task without a health check must run to count as healthy.
    pub healthy_after: Duration,
    /// What the host has for tasks.
    pub capacity: Arc<Capacity>,
    /// Spreads the waits of services.
    pub seed: u64,
    /// Where ids come from.
    pub random: fn() -> [u8; 16],
}

impl PassContext {
    /// The moment of a wall time that is to come.
    pub(super) fn ahead(&self, at: Timestamp) -> Moment {
        self.now + at.since(self.wall)
    }
}

/// What all passes of a host share. A clone shares it too.
#[derive(Clone)]
pub struct Passes {
    /// How long a task without a health check must run to count as healthy.
    pub healthy_after: Duration,
    capacity: Arc<Capacity>,
    moments: Arc<Mutex<Moments>>,
    seed: u64,
    random: fn() -> [u8; 16],
    is_ending: bool,
}

impl Passes {
    /// Those of an instance.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            healthy_after: settings.healthy_after,
            capacity: Arc::new(settings.capacity.clone()),
            moments: Arc::default(),
            seed: settings.seed,
            random: settings.random,
            is_ending: settings.is_ending,
        }
    }

    /// What the host has for tasks.
    #[must_use]
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// What a pass over the service is told now.
    #[must_use]
    pub fn context(&self, snapshot: &Snapshot, key: &ServiceKey) -> PassContext {
        let (now, wall) = (clock::moment(), clock::wall());
        let times: BTreeSet<Timestamp> = times_of(snapshot, key).collect();
        let mut known = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let moments = times.into_iter().map(|at| (at, known.of(at, wall, now))).collect();
        let mut hasher = DefaultHasher::new();
        (self.seed, key).hash(&mut hasher);
        PassContext {
            now,
            wall,
            moments: Arc::new(moments),
            healthy_after: self.healthy_after,
            capacity: Arc::clone(&self.capacity),
            seed: hasher.finish(),
            random: self.random,
        }
    }

    /// Runs a pass inside a write that has changed something for the service, so that what follows from it is the same
    /// commit. The loop's own pass comes after it, and finds less to do.
    pub fn follow(&self, draft: &mut Draft, key: &ServiceKey) {
        if !self.is_ending {
            let context = self.context(draft, key);
            pass(draft, key, &context);
        }
    }

    /// Forgets the moments that nobody asks for any more.
    pub fn forget(&self, is_used: impl Fn(Timestamp) -> bool) {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).retain(is_used);
    }
}
