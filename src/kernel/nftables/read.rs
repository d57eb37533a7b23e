//! Answers and news about packet rules, as typed values.

use super::{NEW_CHAIN, NEW_ELEMENTS, NEW_GENERATION, NEW_RULE, NEW_TABLE, SUBSYSTEM};
use crate::kernel::netlink::{Attributes, Reply};

const BODY: usize = 4;
const IP: u8 = super::IP;

/// A table that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTable {
    /// The comment it was made with.
    pub comment: Option<String>,
    /// How many chains and maps it holds.
    pub holds: u32,
}

/// A chain that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundChain {
    /// Its table's family as the kernel numbers them: 1 inet, 2 ip, 7 bridge, 10 ip6.
    pub family: u8,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// The number of the hook, for a base chain.
    pub hook: Option<u32>,
    /// Whether packets that no rule decides about are dropped.
    pub drops: bool,
}

/// A rule that exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundRule {
    /// Its chain.
    pub chain: String,
    /// The comment it was made with.
    pub comment: Option<String>,
}

/// An element of a map: key and result.
pub type FoundElement = (Vec<u8>, Vec<u8>);

/// Reads a table of family `ip`.
#[must_use]
pub fn read_table(reply: &Reply<'_>) -> Option<FoundTable> {
    let attributes = expect(reply, NEW_TABLE)?;
    Some(FoundTable { comment: comment(attributes.get(6)), holds: attributes.be32(3).unwrap_or(0) })
}

/// Reads a chain of any family.
#[must_use]
pub fn read_chain(reply: &Reply<'_>) -> Option<FoundChain> {
    let attributes = expect(reply, NEW_CHAIN)?;
    Some(FoundChain {
        family: *reply.payload.first()?,
        table: attributes.text(1)?,
        chain: attributes.text(3)?,
        hook: attributes.inside(4).be32(1),
        drops: attributes.be32(5) == Some(0),
    })
}

/// Reads a rule.
#[must_use]
pub fn read_rule(reply: &Reply<'_>) -> Option<FoundRule> {
    let attributes = expect(reply, NEW_RULE)?;
    Some(FoundRule { chain: attributes.text(2)?, comment: comment(attributes.get(7)) })
}

/// Reads the elements in one message of a listing.
#[must_use]
pub fn read_elements(reply: &Reply<'_>) -> Option<Vec<FoundElement>> {
    let list = expect(reply, NEW_ELEMENTS)?.inside(3);
    let element = |bytes| {
        let attributes = Attributes(bytes);
        let key = attributes.inside(1).get(1)?.to_vec();
        Some((key, attributes.inside(2).get(1)?.to_vec()))
    };
    Some(list.iter().filter_map(|(_, bytes)| element(bytes)).collect())
}

/// Reads the generation of the rule set.
#[must_use]
pub fn read_generation(reply: &Reply<'_>) -> Option<u32> {
    expect(reply, NEW_GENERATION)?.be32(1)
}

/// The table of family `ip` that a piece of news is about, whatever happened in it.
#[must_use]
pub fn touched_table(reply: &Reply<'_>) -> Option<String> {
    let is_about_a_table = reply.kind >> 8 == SUBSYSTEM && reply.kind != NEW_GENERATION;
    let is_ours = reply.payload.first() == Some(&IP);
    // Tables, chains, rules, maps and elements all name their table in attribute 1.
    (is_about_a_table && is_ours).then(|| reply.attributes(BODY).text(1)).flatten()
}

fn expect<'a>(reply: &Reply<'a>, kind: u16) -> Option<Attributes<'a>> {
    (reply.kind == kind).then(|| reply.attributes(BODY))
}

fn comment(stored: Option<&[u8]>) -> Option<String> {
    let stored = stored?;
    let (kind, length) = (stored.first()?, usize::from(*stored.get(1)?));
    let text = stored.get(2..2 + length)?;
    (*kind == 0).then(|| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}
