//! The instance's nftables table: a fixed [`shape`] of chains and rules around two maps of published [`elements`].
//!
//! Installing compares what the kernel holds with what it should hold. When the shape is whole, only the elements that
//! differ change, and connections of other tasks notice nothing; when it is not, the table is made anew. Either way it
//! is one transaction, tied to the generation of the rule set that was compared: when anybody changes a rule in
//! between, the kernel refuses and the comparison starts again.

pub(super) mod elements;
mod shape;

use nix::errno::Errno;

use super::NetError;
use crate::kernel::netlink::{Message, NetlinkError, Socket};
use crate::kernel::nftables::{self, FoundElement, FoundTable};
use crate::model::network::Tables;
use elements::{ANY, BOUND, Elements, Key, MAPS};
pub(super) use shape::Shape;

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
pub(super) fn ensure(socket: &mut Socket, shape: &Shape) -> Result<(), NetError> {
    settle(socket, shape, |generation, present| match present {
        Some(_) => None,
        None => Some(whole(shape, generation, &Elements::default())),
    })
}

/// Makes the table hold exactly `tables`; also returns the keys whose meaning changed.
pub(super) fn install(
    socket: &mut Socket,
    shape: &Shape,
    tables: &Tables,
) -> Result<(Installed, Vec<Key>), NetError> {
    let wanted = Elements::of(tables);
    let mut outcome = (Installed::Unchanged, Vec::new());
    settle(socket, shape, |generation, present| {
        let Some(present) = present else {
            outcome = (Installed::Replaced, wanted.keys());
            return Some(whole(shape, generation, &wanted));
        };
        let difference = wanted.since(present);
        let changed = difference.keys();
        if changed.is_empty() {
            outcome = (Installed::Unchanged, changed);
            return None;
        }
        let (added, removed) = (difference.added.len(), difference.removed.len());
        outcome = (Installed::Elements { added, removed }, changed);
        Some(difference.transaction(&shape.table, generation))
    })?;
    Ok(outcome)
}

/// Deletes the table.
pub(super) fn remove(socket: &mut Socket, shape: &Shape) -> Result<(), NetError> {
    if find(socket, shape)?.is_none() {
        return Ok(());
    }
    let batch = [nftables::begin(None), nftables::delete_table(&shape.table), nftables::end()];
    unless_missing(socket.transact(&batch).map(Some))?;
    Ok(())
}

/// Reads what is there, lets `decide` make a transaction of it, and sends that, until nobody interferes.
fn settle(
    socket: &mut Socket,
    shape: &Shape,
    mut decide: impl FnMut(u32, Option<&Elements>) -> Option<Vec<Message>>,
) -> Result<(), NetError> {
    for _ in 0..ATTEMPTS {
        let generation = generation(socket)?;
        let present = read(socket, shape)?;
        let Some(batch) = decide(generation, present.as_ref()) else { return Ok(()) };
        match socket.transact(&batch) {
            Err(error) if error.refusal() == Some(Errno::ERESTART) => {}
            other => return Ok(other?),
        }
    }
    Err(NetError::Unsettled(shape.table.clone()))
}

/// The generation of the rule set; the first thing asked, so a kernel without nftables shows here.
fn generation(socket: &mut Socket) -> Result<u32, NetError> {
    match socket.query(&nftables::get_generation(), nftables::read_generation) {
        Ok(found) => Ok(found.first().copied().unwrap_or(0)),
        Err(source) if matches!(source.refusal(), Some(Errno::EINVAL | Errno::EOPNOTSUPP)) => {
            Err(NetError::NoNftables(source))
        }
        Err(source) => Err(source.into()),
    }
}

/// The published elements, when the table exists and its shape is whole.
fn read(socket: &mut Socket, shape: &Shape) -> Result<Option<Elements>, NetError> {
    let Some(found) = find(socket, shape)? else { return Ok(None) };
    if found.comment.as_ref() != Some(&shape.comment) {
        return Ok(None);
    }
    let table = shape.table.as_str();
    let rules = unless_missing(socket.query(&nftables::list_rules(table), nftables::read_rule).map(Some))?;
    if rules.as_ref() != Some(&shape.rules) {
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

/// Looks the table up; somebody else's is an error.
fn find(socket: &mut Socket, shape: &Shape) -> Result<Option<FoundTable>, NetError> {
    let listed = socket.query(&nftables::get_table(&shape.table), nftables::read_table);
    let Some(found) = unless_missing(listed.map(Some))?.and_then(|tables| tables.into_iter().next()) else {
        return Ok(None);
    };
    let is_ours = found.comment.as_ref().is_some_and(|comment| shape.is_by_this_instance(comment));
    if is_ours || found.holds == 0 { Ok(Some(found)) } else { Err(NetError::TableTaken(shape.table.clone())) }
}

/// The transaction that makes the whole table, whatever was there.
fn whole(shape: &Shape, generation: u32, elements: &Elements) -> Vec<Message> {
    let table = shape.table.as_str();
    let mut batch = vec![nftables::begin(Some(generation))];
    // A table must exist to be deleted, and is made again empty.
    batch.push(nftables::put_table(table, &shape.comment));
    batch.push(nftables::delete_table(table));
    batch.push(nftables::put_table(table, &shape.comment));
    batch.extend(shape.messages.iter().cloned());
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
