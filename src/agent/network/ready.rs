//! Networks that are made before their tasks are known, so that a start does not wait for the kernel to make one.
//!
//! ```text
//!   fill ── address ── namespace ── pair, address, route, rules ──▶ ready ── take ──▶ a task's, put on the bridge
//! ```
//!
//! A ready network is on no bridge and nobody but this process knows its namespace: when the process ends, the kernel
//! takes both away. It is filled up again once a task that took one is on its way, so that it does not take part in a
//! start.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::NetworkFailure;
use super::reservations::Reservations;
use crate::model::network::TaskInterface;
use crate::net::Network;

/// A namespace with everything in it that a task's has.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) netns: OwnedFd,
    pub(super) interface: TaskInterface,
}

/// So many networks for tasks to come.
#[derive(Debug)]
pub(super) struct Pool {
    wanted: usize,
    ready: Mutex<VecDeque<Ready>>,
    filling: Mutex<()>,
}

impl Pool {
    pub(super) fn new(wanted: usize) -> Self {
        Self { wanted, ready: Mutex::default(), filling: Mutex::default() }
    }

    /// The one that has waited longest.
    pub(super) fn take(&self) -> Option<Ready> {
        self.ready().pop_front()
    }

    /// Makes what is missing. One that fills already is left to it.
    pub(super) fn fill(&self, network: &Network, book: &Mutex<Reservations>) -> Result<(), NetworkFailure> {
        let _alone = match self.filling.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        while self.ready().len() < self.wanted {
            let subnet = network.config().subnet;
            let address = lock(book).spare(subnet)?;
            let interface = TaskInterface::ready(subnet, address);
            let made = make(network, &interface).inspect_err(|_| lock(book).give_up(address))?;
            self.ready().push_back(Ready { netns: made, interface });
        }
        Ok(())
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<Ready>> {
        lock(&self.ready)
    }
}

fn make(network: &Network, interface: &TaskInterface) -> Result<OwnedFd, NetworkFailure> {
    let netns = crate::net::new_namespace()?;
    network.prepare(netns.as_fd(), interface)?;
    Ok(netns)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
