//! nftables over netlink: tables, chains, maps and rules as messages, changed by one transaction.
//!
//! A transaction is a batch between [`begin`] and [`end`]: the kernel applies all of it or none. With a
//! generation in [`begin`] it also refuses when anybody changed any rule since that generation was read, so what was
//! read still holds when it is changed.
//!
//! Only family `ip` is written. Nothing here does I/O and nothing here knows what the rules are for: [`Expression`]s
//! are the kernel's, the sentences they form are somebody else's.

mod expression;
mod read;

use crate::kernel::netlink::{ACK, APPEND, CREATE, DUMP, EXCLUSIVE, Message};

pub use expression::{Expression, KNOWN, LOCAL, REDIRECTED, Register, Verdict};
pub use read::{
    FoundChain, FoundElement, FoundRule, FoundTable, read_chain, read_elements, read_generation, read_rule,
    read_table, touched_table,
};

/// The group that tells of every change to tables, chains, rules and elements.
pub const NEWS_GROUP: u32 = 7;

const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = kind(0);
const GET_TABLE: u16 = kind(1);
const DELETE_TABLE: u16 = kind(2);
const NEW_CHAIN: u16 = kind(3);
const GET_CHAIN: u16 = kind(4);
const NEW_RULE: u16 = kind(6);
const GET_RULE: u16 = kind(7);
const NEW_SET: u16 = kind(9);
const NEW_ELEMENTS: u16 = kind(12);
const GET_ELEMENTS: u16 = kind(13);
const DELETE_ELEMENTS: u16 = kind(14);
const NEW_GENERATION: u16 = kind(15);
const GET_GENERATION: u16 = kind(16);
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

const ANY_FAMILY: u8 = 0;
const IP: u8 = 2;

/// Elements in one message: an attribute, and so a list of elements, ends at 64 KiB.
const ELEMENTS_AT_ONCE: usize = 1000;

const fn kind(number: u16) -> u16 {
    (SUBSYSTEM << 8) | number
}

fn body(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}

/// Opens a transaction, which is refused when the rule set is no longer of `generation`.
#[must_use]
pub fn begin(generation: Option<u32>) -> Message {
    let message = batch(BATCH_BEGIN, "begin a transaction on the packet rules");
    match generation {
        Some(generation) => message.be32(1, generation),
        None => message,
    }
}

/// Closes a transaction.
#[must_use]
pub fn end() -> Message {
    batch(BATCH_END, "commit a transaction on the packet rules")
}

fn batch(kind: u16, what: &str) -> Message {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    Message::new(kind, 0, what).body(&[ANY_FAMILY, 0, high, low])
}

/// Makes a table, or leaves the one that exists.
#[must_use]
pub fn put_table(table: &str, comment: &str) -> Message {
    new_table(0, table, comment)
}

/// Makes a table; refused when there is one of that name.
#[must_use]
pub fn add_table(table: &str, comment: &str) -> Message {
    new_table(EXCLUSIVE, table, comment)
}

fn new_table(flags: u16, table: &str, comment: &str) -> Message {
    Message::new(NEW_TABLE, ACK | CREATE | flags, format!("create nftables table {table}"))
        .body(&body(IP))
        .text(1, table)
        .bytes(6, &comment_bytes(comment))
}

/// Deletes a table and everything in it.
#[must_use]
pub fn delete_table(table: &str) -> Message {
    Message::new(DELETE_TABLE, ACK, format!("delete nftables table {table}")).body(&body(IP)).text(1, table)
}

/// Where a chain meets packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// As they arrive.
    Prerouting,
    /// On their way to a process here.
    Input,
    /// On their way through.
    Forward,
    /// As a process here sends them.
    Output,
    /// As they leave.
    Postrouting,
}

impl Hook {
    const fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }
}

/// What a chain at a hook may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Let pass or drop.
    Filter,
    /// Translate addresses, once for each connection.
    Nat,
}

impl ChainKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }
}

/// Makes a chain at a hook; packets that no rule decides about are accepted.
#[must_use]
pub fn add_base_chain(table: &str, chain: &str, kind: ChainKind, hook: Hook, priority: i32) -> Message {
    add_chain(table, chain)
        .nest(4, |place| place.be32(1, hook.number()).be32(2, priority.cast_unsigned()))
        .be32(5, 1)
        .text(7, kind.name())
}

/// Makes a chain that other chains jump to.
#[must_use]
pub fn add_chain(table: &str, chain: &str) -> Message {
    let what = format!("create chain {chain} in nftables table {table}");
    Message::new(NEW_CHAIN, ACK | CREATE, what).body(&body(IP)).text(1, table).text(3, chain)
}

/// Adds a rule at the end of a chain; `comment` is what `nft list` shows beside it.
#[must_use]
pub fn append_rule(table: &str, chain: &str, comment: &str, rule: &[Expression]) -> Message {
    let what = format!("add rule '{comment}' to chain {chain} in nftables table {table}");
    Message::new(NEW_RULE, ACK | CREATE | APPEND, what)
        .body(&body(IP))
        .text(1, table)
        .text(2, chain)
        .nest(4, |list| rule.iter().fold(list, |list, expression| expression.write(list)))
        .bytes(7, &comment_bytes(comment))
}

/// A type of value that keys and results of maps are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// An IPv4 address.
    Address,
    /// A protocol number.
    Protocol,
    /// A port.
    Port,
}

impl ValueType {
    const fn number(self) -> u32 {
        match self {
            Self::Address => 7,
            Self::Protocol => 12,
            Self::Port => 13,
        }
    }
}

/// The type and the length of values put after each other, each padded to four bytes.
fn concatenated(types: &[ValueType]) -> (u32, u32) {
    types.iter().fold((0, 0), |(kind, length), each| ((kind << 6) | each.number(), length + 4))
}

/// Makes a map from `key` to `result`; `id` tells maps of one transaction apart.
#[must_use]
pub fn add_map(table: &str, map: &str, id: u32, key: &[ValueType], result: &[ValueType]) -> Message {
    const IS_MAP: u32 = 0x8;
    let (key_type, key_length) = concatenated(key);
    let (result_type, result_length) = concatenated(result);
    Message::new(NEW_SET, ACK | CREATE, format!("create map {map} in nftables table {table}"))
        .body(&body(IP))
        .text(1, table)
        .text(2, map)
        .be32(3, IS_MAP)
        .be32(4, key_type)
        .be32(5, key_length)
        .be32(6, result_type)
        .be32(7, result_length)
        .be32(10, id)
}

/// Adds elements (key, result) to a map.
pub fn add_elements<'a>(
    table: &'a str,
    map: &'a str,
    elements: &'a [(Vec<u8>, Vec<u8>)],
) -> impl Iterator<Item = Message> + use<'a> {
    elements.chunks(ELEMENTS_AT_ONCE).map(move |chunk| {
        let what = format!("add elements to map {map} in nftables table {table}");
        element_list(NEW_ELEMENTS, CREATE, what, table, map, chunk, |element, (key, result)| {
            element.nest(1, |value| value.bytes(1, key)).nest(2, |value| value.bytes(1, result))
        })
    })
}

/// Deletes the elements with these keys from a map.
pub fn delete_elements<'a>(
    table: &'a str,
    map: &'a str,
    keys: &'a [Vec<u8>],
) -> impl Iterator<Item = Message> + use<'a> {
    keys.chunks(ELEMENTS_AT_ONCE).map(move |chunk| {
        let what = format!("delete elements from map {map} in nftables table {table}");
        element_list(DELETE_ELEMENTS, 0, what, table, map, chunk, |element, key| {
            element.nest(1, |value| value.bytes(1, key))
        })
    })
}

fn element_list<T>(
    kind: u16,
    flags: u16,
    what: String,
    table: &str,
    map: &str,
    elements: &[T],
    write: impl Fn(Message, &T) -> Message,
) -> Message {
    Message::new(kind, ACK | flags, what)
        .body(&body(IP))
        .text(1, table)
        .text(2, map)
        .nest(3, |list| elements.iter().fold(list, |list, each| list.nest(1, |element| write(element, each))))
}

/// Asks for the generation of the rule set.
#[must_use]
pub fn get_generation() -> Message {
    Message::new(GET_GENERATION, ACK, "read the generation of the packet rules").body(&body(ANY_FAMILY))
}

/// Asks for one table.
#[must_use]
pub fn get_table(table: &str) -> Message {
    Message::new(GET_TABLE, ACK, format!("look up nftables table {table}")).body(&body(IP)).text(1, table)
}

/// Asks for the chains of every table of every family.
#[must_use]
pub fn list_chains() -> Message {
    Message::new(GET_CHAIN, DUMP, "list nftables chains").body(&body(ANY_FAMILY))
}

/// Asks for the rules of a table, in order.
#[must_use]
pub fn list_rules(table: &str) -> Message {
    Message::new(GET_RULE, DUMP, format!("list rules of nftables table {table}"))
        .body(&body(IP))
        .text(1, table)
}

/// Asks for the elements of a map.
#[must_use]
pub fn list_elements(table: &str, map: &str) -> Message {
    let what = format!("list elements of map {map} in nftables table {table}");
    Message::new(GET_ELEMENTS, DUMP, what).body(&body(IP)).text(1, table).text(2, map)
}

/// A comment as the `nft` program keeps it: a kind, a length, a text with its zero.
fn comment_bytes(comment: &str) -> Vec<u8> {
    let kept: String = comment.chars().take_while(char::is_ascii).take(120).collect();
    let length = u8::try_from(kept.len() + 1).expect("a comment is cut at 120 letters");
    let mut bytes = vec![0, length];
    bytes.extend(kept.bytes());
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests;
