//! The instance's nftables table: a fixed [`shape`] of chains and rules around two maps of published [`elements`].
//!
//! Installing compares what the kernel holds with what it should hold. When the shape is whole, only the elements that
//! differ change, and connections of other tasks notice nothing; when it is not, the table is made anew. Either way it
//! is one transaction, tied to the generation of the rule set that was compared: when anybody changes a rule in
//! between, the kernel refuses and the comparison starts again.

pub(super) mod elements;
mod shape;

use nix::errno::Errno;

use super::{NetConfig, NetError};
use crate::kernel::netlink::{Message, NetlinkError, Socket};
use crate::kernel::nftables::{self, FoundElement};
use crate::model::network::Tables;
use elements::{ANY, BOUND, Elements, Key, MAPS};

/// How often an installation that somebody's change overtook is tried.
const ATTEMPTS: usize = 20;

/// What an installation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    /// Nothing: all was as it should be.
    Unchanged,
    /// Published ports changed, the rest stayed.
    Elements {
        /// How many ports were added or now lead elsewhere.
        added: usize,
        /// How many ports were removed or led elsewhere.
        removed: usize,
    },
    /// The table was missing or not as it should be, and was made anew.
    Replaced,
}

/// Makes the table with no published port, unless its shape is whole.
pub(super) fn ensure(socket: &mut Socket, config: &NetConfig) -> Result<(), NetError> {
    settle(socket, config, |generation, present| match present {
        Some(_) => None,
        None => Some(whole(config, generation, &Elements::default())),
    })
}

/// Makes the table hold exactly `tables`; also returns the keys whose meaning changed.
pub(super) fn install(
    socket: &mut Socket,
    config: &NetConfig,
    tables: &Tables,
) -> Result<(Installed, Vec<Key>), NetError> {
    let wanted = Elements::of(tables);
    let mut outcome = (Installed::Unchanged, Vec::new());
    settle(socket, config, |generation, present| {
        let Some(present) = present else {
            outcome = (Installed::Replaced, wanted.keys());
            return Some(whole(config, generation, &wanted));
        };
        let difference = wanted.since(present);
        let changed = difference.keys();
        if changed.is_empty() {
            outcome = (Installed::Unchanged, changed);
            return None;
        }
        let (added, removed) = (difference.added.len(), difference.removed.len());
        outcome = (Installed::Elements { added, removed }, changed);
        Some(difference.transaction(&config.table, generation))
    })?;
    Ok(outcome)
}

/// Deletes the table.
pub(super) fn remove(socket: &mut Socket, config: &NetConfig) -> Result<(), NetError> {
    if !exists(socket, config)? {
        return Ok(());
    }
    let batch = [nftables::begin(None), nftables::delete_table(&config.table), nftables::end()];
    Ok(unless_missing(socket.transact(&batch).map(Some))?.unwrap_or_default())
}

/// Reads what is there, lets `decide` make a transaction of it, and sends that, until nobody interferes.
fn settle(
    socket: &mut Socket,
    config: &NetConfig,
    mut decide: impl FnMut(u32, Option<&Elements>) -> Option<Vec<Message>>,
) -> Result<(), NetError> {
    for _ in 0..ATTEMPTS {
        let generation = socket.query(&nftables::get_generation(), nftables::read_generation)?;
        let generation = generation.first().copied().unwrap_or(0);
        let present = read(socket, config)?;
        let Some(batch) = decide(generation, present.as_ref()) else { return Ok(()) };
        match socket.transact(&batch) {
            Err(error) if error.refusal() == Some(Errno::ERESTART) => {}
            other => return Ok(other?),
        }
    }
    Err(NetError::Unsettled(config.table.clone()))
}

/// The published elements, when the table exists and its shape is whole.
fn read(socket: &mut Socket, config: &NetConfig) -> Result<Option<Elements>, NetError> {
    if !exists(socket, config)? {
        return Ok(None);
    }
    let table = config.table.as_str();
    let tables = unless_missing(socket.query(&nftables::get_table(table), nftables::read_table).map(Some))?;
    let comment = tables.and_then(|tables| tables.into_iter().next()).and_then(|table| table.comment);
    if comment != Some(shape::comment(config)) {
        return Ok(None);
    }
    let rules = unless_missing(socket.query(&nftables::list_rules(table), nftables::read_rule).map(Some))?;
    if rules != Some(shape::found_when_whole(config)) {
        return Ok(None);
    }
    let mut maps: [Vec<FoundElement>; 2] = [Vec::new(), Vec::new()];
    for (map, into) in MAPS.iter().zip(&mut maps) {
        let listed = socket.query(&nftables::list_elements(table, map), nftables::read_elements);
        let Some(listed) = unless_missing(listed.map(Some))? else { return Ok(None) };
        *into = listed.concat();
    }
    let [any, bound] = maps;
    Ok(Some(Elements::found(any, bound)))
}

/// Whether the table exists; somebody else's is an error.
fn exists(socket: &mut Socket, config: &NetConfig) -> Result<bool, NetError> {
    let listed = socket.query(&nftables::get_table(&config.table), nftables::read_table);
    let Some(found) = unless_missing(listed.map(Some))?.and_then(|tables| tables.into_iter().next()) else {
        return Ok(false);
    };
    let is_ours = found.comment.is_some_and(|comment| shape::is_by(config, &comment));
    if is_ours || found.holds == 0 { Ok(true) } else { Err(NetError::TableTaken(config.table.clone())) }
}

/// The transaction that makes the whole table, whatever was there.
fn whole(config: &NetConfig, generation: u32, elements: &Elements) -> Vec<Message> {
    let table = config.table.as_str();
    let mut batch = vec![nftables::begin(Some(generation))];
    // A table must exist to be deleted, and is made again empty.
    batch.push(nftables::put_table(table, &shape::comment(config)));
    batch.push(nftables::delete_table(table));
    batch.push(nftables::put_table(table, &shape::comment(config)));
    batch.extend(shape::messages(config));
    batch.extend(nftables::add_elements(table, ANY, &elements.list(ANY)));
    batch.extend(nftables::add_elements(table, BOUND, &elements.list(BOUND)));
    batch.push(nftables::end());
    batch
}

/// Takes "there is no such thing" for nothing.
fn unless_missing<T>(result: Result<Option<T>, NetlinkError>) -> Result<Option<T>, NetlinkError> {
    match result {
        Err(error) if error.refusal() == Some(Errno::ENOENT) => Ok(None),
        other => other,
    }
}

#[cfg(test)]
mod tests;
