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

/// How often an installation is tried that somebody's change overtook.
const ATTEMPTS: usize = 5;

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

/// What the kernel holds of the table.
#[derive(Default)]
struct Present {
    /// Whether the fixed part is as it should be.
    is_whole: bool,
    elements: Elements,
}

/// Sees to the table's shape. Ports that are published stay, also when an older release made the table.
pub(super) fn ensure(socket: &mut Socket, shape: &Shape) -> Result<(), NetError> {
    settle(socket, shape, |generation, present| {
        (!present.is_whole).then(|| whole(shape, generation, &present.elements))
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
        if !present.is_whole {
            outcome = (Installed::Replaced, wanted.keys());
            return Some(whole(shape, generation, &wanted));
        }
        let difference = wanted.since(&present.elements);
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

/// Makes the table anew, whatever it looks like: not every kind of tampering shows in a listing.
pub(super) fn replace(socket: &mut Socket, shape: &Shape, tables: &Tables) -> Result<Vec<Key>, NetError> {
    let wanted = Elements::of(tables);
    settle(socket, shape, |generation, _| Some(whole(shape, generation, &wanted)))?;
    Ok(wanted.keys())
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

/// Reads what is there, lets `decide` make a transaction of it, and sends that.
///
/// When others keep changing rules in between, the last attempt makes the table anew, which holds whatever they do.
fn settle(
    socket: &mut Socket,
    shape: &Shape,
    mut decide: impl FnMut(Option<u32>, &Present) -> Option<Vec<Message>>,
) -> Result<(), NetError> {
    for _ in 0..ATTEMPTS {
        let generation = generation(socket)?;
        let present = read(socket, shape)?;
        let Some(batch) = decide(Some(generation), &present) else { return Ok(()) };
        match socket.transact(&batch) {
            Err(error) if error.refusal() == Some(Errno::ERESTART) => {}
            other => return Ok(other?),
        }
    }
    let present = Present { is_whole: false, ..read(socket, shape)? };
    let batch = decide(None, &present).unwrap_or_default();
    Ok(socket.transact(&batch)?)
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

/// Reads the table, as far as it is there.
fn read(socket: &mut Socket, shape: &Shape) -> Result<Present, NetError> {
    let Some(found) = find(socket, shape)? else { return Ok(Present::default()) };
    let table = shape.table.as_str();
    let rules = unless_missing(socket.query(&nftables::list_rules(table), nftables::read_rule).map(Some))?;
    let mut is_whole = found.comment.as_ref() == Some(&shape.comment) && rules.as_ref() == Some(&shape.rules);
    let mut maps: [Vec<FoundElement>; 2] = [Vec::new(), Vec::new()];
    for (map, into) in MAPS.iter().zip(&mut maps) {
        let listed = socket.query(&nftables::list_elements(table, map), nftables::read_elements);
        let listed = unless_missing(listed.map(Some))?;
        is_whole &= listed.is_some();
        *into = listed.unwrap_or_default().concat();
    }
    let [any, bound] = maps;
    Ok(Present { is_whole, elements: Elements::found(any, bound) })
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
fn whole(shape: &Shape, generation: Option<u32>, elements: &Elements) -> Vec<Message> {
    let table = shape.table.as_str();
    let mut batch = vec![nftables::begin(generation)];
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
