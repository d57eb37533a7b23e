//! Published ports as elements of two maps: for every address of the host, and for one.
//!
//! Pure: tables to elements, two sets of elements to their difference, a difference to a transaction.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::kernel::netlink::Message;
use crate::kernel::nftables::{self, FoundElement};
use crate::model::network::{Protocol, Tables};

/// The map of ports published on every address.
pub(super) const ANY: &str = "published-any";
/// The map of ports published on one address.
pub(super) const BOUND: &str = "published-one";
/// Both maps.
pub(super) const MAPS: [&str; 2] = [ANY, BOUND];

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::net) struct Key {
    /// The host's address, or none for every one.
    pub(in crate::net) address: Option<Ipv4Addr>,
    /// The protocol's number.
    pub(in crate::net) protocol: u8,
    /// The host's port.
    pub(in crate::net) port: u16,
}

/// Where a published port leads.
pub(in crate::net) type Goal = (Ipv4Addr, u16);

/// All published ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::net) struct Elements(BTreeMap<Key, Goal>);

impl Elements {
    /// The elements that `tables` asks for. Of two publishes of one port the first counts.
    pub(in crate::net) fn of(tables: &Tables) -> Self {
        let mut all = BTreeMap::new();
        for publish in &tables.publishes {
            let address = (!publish.bind.is_unspecified()).then_some(publish.bind);
            let protocol = publish.protocol.number();
            for (port, goal) in publish.pairs() {
                all.entry(Key { address, protocol, port }).or_insert((publish.task, goal));
            }
        }
        Self(all)
    }

    /// The elements that the kernel listed, less those that the maps of this release could not hold.
    pub(super) fn found(any: Vec<FoundElement>, bound: Vec<FoundElement>) -> Self {
        let read = |(key, goal): (Vec<u8>, Vec<u8>)| Some((read_key(&key)?, read_goal(&goal)?));
        Self(any.into_iter().chain(bound).filter_map(read).collect())
    }

    /// Where a packet to `address` leads: an exact address goes before every address.
    pub(in crate::net) fn goal(&self, address: Ipv4Addr, protocol: Protocol, port: u16) -> Option<Goal> {
        let protocol = protocol.number();
        let look_up = |address| self.0.get(&Key { address, protocol, port }).copied();
        look_up(Some(address)).or_else(|| look_up(None))
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.0.keys().copied().collect()
    }

    #[cfg(test)]
    pub(super) fn insert(&mut self, key: Key, goal: Goal) {
        self.0.insert(key, goal);
    }

    /// The elements of one of the maps as the kernel takes them.
    pub(super) fn list(&self, map: &str) -> Vec<FoundElement> {
        let of_map = self.0.iter().filter(|(key, _)| key.map() == map);
        of_map.map(|(key, goal)| (key.bytes(), goal_bytes(*goal))).collect()
    }

    /// What must change for `present` to become this.
    pub(super) fn since(&self, present: &Self) -> Difference {
        let lacks = |one: &Self, other: &Self| {
            let missing = one.0.iter().filter(|(key, goal)| other.0.get(key) != Some(goal));
            Self(missing.map(|(key, goal)| (*key, *goal)).collect())
        };
        Difference { added: lacks(self, present).0, removed: lacks(present, self).0 }
    }
}

/// What must change for one set of elements to become another. A port that leads elsewhere is in both halves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) added: BTreeMap<Key, Goal>,
    pub(super) removed: BTreeMap<Key, Goal>,
}

impl Difference {
    /// Every key whose meaning changes, once.
    pub(super) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.added.keys().chain(self.removed.keys()).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The transaction that makes the change.
    pub(super) fn transaction(&self, table: &str, generation: Option<u32>) -> Vec<Message> {
        let mut batch = vec![nftables::begin(generation)];
        for map in MAPS {
            let of_map = self.removed.keys().filter(|key| key.map() == map);
            let removed: Vec<Vec<u8>> = of_map.map(|key| Key::bytes(*key)).collect();
            batch.extend(nftables::delete_elements(table, map, &removed));
        }
        let added = Elements(self.added.clone());
        for map in MAPS {
            batch.extend(nftables::add_elements(table, map, &added.list(map)));
        }
        batch.push(nftables::end());
        batch
    }
}

impl Key {
    const fn map(self) -> &'static str {
        if self.address.is_some() { BOUND } else { ANY }
    }

    /// The key as registers hold it: each value padded to four bytes.
    fn bytes(self) -> Vec<u8> {
        let [high, low] = self.port.to_be_bytes();
        let mut bytes = Vec::with_capacity(12);
        bytes.extend(self.address.iter().flat_map(Ipv4Addr::octets));
        bytes.extend([self.protocol, 0, 0, 0, high, low, 0, 0]);
        bytes
    }
}

fn goal_bytes((address, port): Goal) -> Vec<u8> {
    let ([a, b, c, d], [high, low]) = (address.octets(), port.to_be_bytes());
    vec![a, b, c, d, high, low, 0, 0]
}

fn read_key(bytes: &[u8]) -> Option<Key> {
    let split = bytes.len().checked_sub(8)?;
    let (address, rest) = bytes.split_at(split);
    let address = match address {
        [] => None,
        &[a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => return None,
    };
    Some(Key { address, protocol: rest[0], port: u16::from_be_bytes([rest[4], rest[5]]) })
}

fn read_goal(bytes: &[u8]) -> Option<Goal> {
    let &[a, b, c, d, high, low, ..] = bytes else { return None };
    Some((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])))
}
