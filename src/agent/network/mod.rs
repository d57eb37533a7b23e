//! The network of tasks: who gets what, and making it so.
//!
//! A task's address and ports are first reserved in memory, then written into the task's directory, then made: in
//! that order, so that an agent that dies at any step finds in the directory all that may exist. Letting go is the
//! same backwards. The tables are always installed whole, from all reservations; of many who ask at once the last one
//! installs for all. Some networks are made [beforehand](ready) and get their task later.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::agent::users;
use crate::model::fact::Attachment;
use crate::model::ids::TaskId;
use crate::model::network::{LinkName, Subnet, TaskInterface};
use crate::model::task_definition::{Document, NetworkMode};
use crate::net::{HoldError, Installed, NetError, Network, PortHold, ipam};

mod mappings;
mod ready;
mod record;
mod reservations;

pub(crate) use mappings::protocol;
use mappings::{MappingError, wanted};
use ready::{Pool, Ready};
pub(crate) use record::{Record, link_of};
pub(crate) use reservations::{Given, ReservationError, Reservations};

/// A network that a task cannot have.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkFailure {
    /// The daemon has no network of its own.
    #[error("network mode {0} needs the instance's bridge, which this daemon runs without")]
    NoNetwork(&'static str),
    /// A mapping that says nothing usable.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The address or the ports are taken.
    #[error(transparent)]
    Reserve(#[from] ReservationError),
    /// A port was taken by somebody else meanwhile.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// The kernel refused.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// The instance's network and what is given out of it.
#[derive(Debug)]
pub(crate) struct Networks {
    network: Option<Network>,
    publish_address: Ipv4Addr,
    dynamic: RangeInclusive<u16>,
    book: Mutex<Reservations>,
    /// Sockets that keep others on the host from taking a published port by mistake.
    holds: Mutex<BTreeMap<TaskId, Vec<PortHold>>>,
    /// The version of the reservations that the firewall holds.
    installed: Mutex<Option<u64>>,
    pool: Pool,
    /// Out of the pool, for tasks that have not got their namespace yet.
    taken: Mutex<BTreeMap<TaskId, Ready>>,
}

impl Networks {
    /// So many networks are `ready` for tasks to come, once they are [filled](Self::fill) up.
    pub(crate) fn new(network: Option<Network>, publish_address: Ipv4Addr, ready: usize) -> Self {
        Self {
            network,
            pool: Pool::new(ready),
            taken: Mutex::default(),
            publish_address,
            dynamic: ipam::dynamic_range(),
            book: Mutex::default(),
            holds: Mutex::default(),
            installed: Mutex::default(),
        }
    }

    /// The instance's network.
    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// Makes networks for tasks to come. Every task that is on the host must have been adopted.
    pub(crate) fn fill(&self) -> Result<(), NetworkFailure> {
        self.network.as_ref().map_or(Ok(()), |network| self.pool.fill(network, &self.book))
    }

    /// Takes those away again.
    pub(crate) fn drain(&self) -> Result<(), NetError> {
        while let Some(ready) = self.pool.take() {
            self.detach_link(&ready.interface.host)?;
            self.book().give_up(ready.interface.address);
        }
        Ok(())
    }

    /// Reserves what a task needs. Nothing is made yet, but where it may be the host's it may be one that is ready.
    pub(crate) fn reserve(
        &self,
        task: &TaskId,
        document: &Document,
        attachment_id: &str,
        has_own_users: bool,
    ) -> Result<Record, NetworkFailure> {
        let mode = document.network_mode();
        let named = match mode {
            NetworkMode::Host | NetworkMode::None => return Ok(Record::default()),
            NetworkMode::Awsvpc => "awsvpc",
            NetworkMode::Bridge => "bridge",
        };
        let network = self.network.as_ref().ok_or(NetworkFailure::NoNetwork(named))?;
        let subnet = network.config().subnet;
        let wanted = wanted(document)?;
        let interface = self.interface(task, subnet, has_own_users)?;
        let address = interface.address;
        let mut book = self.book();
        let is_bindable = |protocol, port| ipam::is_bindable(protocol, self.publish_address, port);
        let given = book.ports(task, address, self.publish_address, &wanted, &self.dynamic, is_bindable)?;
        drop(book);
        let holds: Result<Vec<PortHold>, HoldError> =
            given.iter().map(|given| PortHold::take(&given.publish)).collect();
        self.holds().insert(task.clone(), holds?);
        let attachment = Attachment { id: attachment_id.to_owned(), interface };
        Ok(Record { attachment: Some(attachment), given })
    }

    /// The interface of a task: one that is ready, or one with an address of its own that is still to be made.
    fn interface(
        &self,
        task: &TaskId,
        subnet: Subnet,
        has_own_users: bool,
    ) -> Result<TaskInterface, ReservationError> {
        if !has_own_users && let Some(ready) = self.pool.take() {
            self.book().give(task, ready.interface.address);
            let interface = ready.interface.clone();
            self.taken().insert(task.clone(), ready);
            return Ok(interface);
        }
        let mut address = self.book().address(task, subnet);
        // Tasks that are there go before tasks to come.
        while address.is_err()
            && let Some(ready) = self.pool.take()
        {
            self.book().give_up(ready.interface.address);
            address = self.book().address(task, subnet);
        }
        Ok(TaskInterface::on(subnet, task.as_str(), address?))
    }

    /// A namespace for a task, with its interface, or with loopback alone; none on the host's network. It belongs to the
    /// task's own users where there are some.
    pub(crate) fn make(
        &self,
        task: &TaskId,
        mode: NetworkMode,
        record: &Record,
        users: Option<u32>,
    ) -> Result<Option<OwnedFd>, NetworkFailure> {
        if mode == NetworkMode::Host {
            return Ok(None);
        }
        if let (Some(network), Some(ready)) = (&self.network, self.taken().remove(task)) {
            // Somebody may have taken it away meanwhile.
            if network.join(&ready.interface).is_err() {
                network.attach(ready.netns.as_fd(), &ready.interface)?;
            }
            return Ok(Some(ready.netns));
        }
        let netns = match users {
            None => crate::net::new_namespace()?,
            Some(first) => crate::net::new_namespace_of_users(first, users::COUNT)?,
        };
        match (&self.network, &record.attachment) {
            (Some(network), Some(attachment)) => network.attach(netns.as_fd(), &attachment.interface)?,
            (Some(_) | None, None) | (None, Some(_)) => Network::loopback(netns.as_fd())?,
        }
        Ok(Some(netns))
    }

    /// Makes the firewall hold what is reserved now.
    pub(crate) fn install(&self) -> Result<Installed, NetError> {
        let Some(network) = &self.network else { return Ok(Installed::Unchanged) };
        let mut installed = self.installed.lock().unwrap_or_else(PoisonError::into_inner);
        let (tables, version) = {
            let book = self.book();
            (book.tables(), book.version())
        };
        if *installed == Some(version) {
            return Ok(Installed::Unchanged);
        }
        let done = network.install(&tables)?;
        *installed = Some(version);
        Ok(done)
    }

    /// Puts back whatever somebody else took away.
    pub(crate) fn repair(&self) -> Result<Installed, NetError> {
        let Some(network) = &self.network else { return Ok(Installed::Unchanged) };
        let mut installed = self.installed.lock().unwrap_or_else(PoisonError::into_inner);
        let (tables, version) = {
            let book = self.book();
            (book.tables(), book.version())
        };
        network.repair(&tables)?;
        *installed = Some(version);
        Ok(Installed::Replaced)
    }

    /// Takes what a task holds already.
    pub(crate) fn adopt(&self, task: &TaskId, record: Record) {
        let address = record.attachment.map(|attachment| attachment.interface.address);
        // A port that somebody took while no daemon ran is published all the same.
        let holds = record.given.iter().filter_map(|given| PortHold::take(&given.publish).ok());
        self.holds().insert(task.clone(), holds.collect());
        self.book().adopt(task, address, record.given);
    }

    /// Takes a task's ports away. Its address stays its own until it is [detached](Self::detach).
    pub(crate) fn unpublish(&self, task: &TaskId) -> Result<(), NetError> {
        let had_ports = self.book().unpublish(task);
        let installed = if had_ports { self.install().map(drop) } else { Ok(()) };
        self.holds().remove(task);
        installed
    }

    /// Deletes a task's interface, which is the one in its directory's record, and lets go of its address.
    pub(crate) fn detach(&self, task: &TaskId, record: &Path) -> Result<(), NetError> {
        self.taken().remove(task);
        self.detach_link(&link_of(task, record))?;
        self.book().release(task);
        Ok(())
    }

    /// Deletes an interface by the name of its end on the host.
    pub(crate) fn detach_link(&self, link: &LinkName) -> Result<(), NetError> {
        self.network.as_ref().map_or(Ok(()), |network| network.detach(link))
    }

    /// The host's ends of all interfaces.
    pub(crate) fn links(&self) -> Result<Vec<LinkName>, NetError> {
        self.network.as_ref().map_or_else(|| Ok(Vec::new()), Network::links)
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<TaskId, Ready>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self) -> MutexGuard<'_, BTreeMap<TaskId, Vec<PortHold>>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self) -> MutexGuard<'_, Reservations> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(mode: &str) -> Document {
        let text = format!(
            r#"{{"family": "f", "networkMode": "{mode}", "containerDefinitions": [{{"name": "web", "image": "i"}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn without_a_network_only_the_modes_that_need_none_work() {
        let networks = Networks::new(None, Ipv4Addr::UNSPECIFIED, 2);
        let task = TaskId::from_random([1; 16]);
        let refused = networks.reserve(&task, &document("bridge"), "id", false).unwrap_err();
        let said = "network mode bridge needs the instance's bridge, which this daemon runs without";
        assert_eq!(refused.to_string(), said);
        assert_eq!(networks.reserve(&task, &document("host"), "id", false).unwrap(), Record::default());
    }
}
