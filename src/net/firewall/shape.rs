//! The fixed part of the table: which packets meet which rule.
//!
//! ```text
//! prerouting  guard      a task's packet to 127.0.0.0/8 is dropped
//!             arriving   an address of this host? -> published
//! output      sending    an address of this host? -> published
//!             published  (address,) protocol, port -> the task's address and port
//! forward     passing    tasks may send; to tasks only answers and published ports
//! postrouting leaving    tasks reach the world as the host; answers to loopback and to neighbours find back
//! ```
//!
//! The table's comment holds a fingerprint of all this, and every rule has a comment of its own. That is how a later
//! look tells a whole table from one that somebody edited or an older release made.

use std::net::Ipv4Addr;

use super::elements::{ANY, BOUND};
use crate::kernel::netlink::Message;
use crate::kernel::nftables::ChainKind::{Filter, Nat};
use crate::kernel::nftables::Expression::{
    ConnectionState, ConnectionStatus, Decide, Equal, InputName, Lookup, Mask, Masquerade, OutputName,
    Redirect, Source, Target, TargetKind, TargetPort, TransportProtocol, Unequal,
};
use crate::kernel::nftables::Verdict::{Accept, Drop, Jump, Return};
use crate::kernel::nftables::{
    Expression, FoundRule, Hook, KNOWN, LOCAL, REDIRECTED, Register, ValueType, add_base_chain, add_chain,
    add_map, append_rule,
};
use crate::model::network::LinkName;
use crate::net::NetConfig;

const FIRST: Register = Register(0);
const SECOND: Register = Register(1);
const THIRD: Register = Register(2);

/// Before connection tracking.
const RAW: i32 = -300;
const DESTINATION_NAT: i32 = -100;
const FILTER: i32 = 0;
const SOURCE_NAT: i32 = 100;

const GUARD: &str = "guard";
const ARRIVING: &str = "arriving";
const SENDING: &str = "sending";
const PUBLISHED: &str = "published";
const PASSING: &str = "passing";
const LEAVING: &str = "leaving";

struct Rule {
    chain: &'static str,
    comment: &'static str,
    steps: Vec<Expression>,
}

/// The fixed part of one instance's table, made once.
#[derive(Debug)]
pub(in crate::net) struct Shape {
    /// The table's name.
    pub(super) table: String,
    /// The table's comment: whose it is, and a fingerprint of its shape.
    pub(super) comment: String,
    /// The messages that fill an empty table.
    pub(super) messages: Vec<Message>,
    /// What a listing of the rules shows when nobody touched them.
    pub(super) rules: Vec<FoundRule>,
    owner: String,
}

impl Shape {
    /// The shape of the table that `config` names.
    pub(in crate::net) fn of(config: &NetConfig) -> Self {
        let messages = messages(config);
        let found =
            |rule: Rule| FoundRule { chain: rule.chain.to_owned(), comment: Some(rule.comment.to_owned()) };
        let owner = format!("hythe on {}, shape ", config.bridge);
        let comment = format!("{owner}{:016x}", fingerprint(&messages));
        let rules = rules(config).into_iter().map(found).collect();
        Self { table: config.table.clone(), comment, messages, rules, owner }
    }

    /// Whether a table with this comment was made by this instance, in whatever shape.
    pub(super) fn is_by_this_instance(&self, comment: &str) -> bool {
        comment.starts_with(&self.owner)
    }
}

/// Differs where the messages differ, and is the same in every run.
fn fingerprint(messages: &[Message]) -> u64 {
    let text = format!("{messages:?}");
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn messages(config: &NetConfig) -> Vec<Message> {
    use ValueType::{Address, Port, Protocol};
    let table = config.table.as_str();
    let mut all = vec![
        add_map(table, ANY, 1, &[Protocol, Port], &[Address, Port]),
        add_map(table, BOUND, 2, &[Address, Protocol, Port], &[Address, Port]),
        add_chain(table, PUBLISHED),
        add_base_chain(table, GUARD, Filter, Hook::Prerouting, RAW),
        add_base_chain(table, ARRIVING, Nat, Hook::Prerouting, DESTINATION_NAT),
        add_base_chain(table, SENDING, Nat, Hook::Output, DESTINATION_NAT),
        add_base_chain(table, PASSING, Filter, Hook::Forward, FILTER),
        add_base_chain(table, LEAVING, Nat, Hook::Postrouting, SOURCE_NAT),
    ];
    let rules = rules(config);
    all.extend(rules.iter().map(|rule| append_rule(table, rule.chain, rule.comment, &rule.steps)));
    all
}

/// Every rule, in the order of the chains above and of the packets' way.
fn rules(config: &NetConfig) -> Vec<Rule> {
    let bridge = &config.bridge;
    let mut all = published();
    all.extend([
        rule(GUARD, "a task is not the host", [came_by(bridge), to_loopback(), vec![Decide(Drop)]]),
        rule(ARRIVING, "loopback does not arrive", [to_loopback(), vec![Decide(Return)]]),
        rule(ARRIVING, "published ports", [to_this_host(), vec![Decide(Jump(PUBLISHED.to_owned()))]]),
        rule(SENDING, "published ports", [to_this_host(), vec![Decide(Jump(PUBLISHED.to_owned()))]]),
        rule(PASSING, "tasks may send", [came_by(bridge), vec![Decide(Accept)]]),
        rule(PASSING, "answers", [leaves_by(bridge), of_known_connection(), vec![Decide(Accept)]]),
        rule(PASSING, "published ports", [leaves_by(bridge), was_redirected(), vec![Decide(Accept)]]),
        rule(PASSING, "nothing else", [leaves_by(bridge), vec![Decide(Drop)]]),
        rule(
            LEAVING,
            "the world sees the host",
            [from_subnet(config), leaves_elsewhere(bridge), vec![Masquerade]],
        ),
        rule(LEAVING, "loopback is answered", [leaves_by(bridge), from_loopback(), vec![Masquerade]]),
        rule(
            LEAVING,
            "neighbours are answered",
            [leaves_by(bridge), from_subnet(config), was_redirected(), vec![Masquerade]],
        ),
    ]);
    all
}

fn rule<const N: usize>(chain: &'static str, comment: &'static str, steps: [Vec<Expression>; N]) -> Rule {
    Rule { chain, comment, steps: steps.into_iter().flatten().collect() }
}

/// An exact address goes before every address.
fn published() -> Vec<Rule> {
    let lookup = |map: &str| Lookup { map: map.to_owned(), key: FIRST, result: FIRST };
    let redirect = Redirect { address: FIRST, port: SECOND };
    let one =
        vec![Target(FIRST), TransportProtocol(SECOND), TargetPort(THIRD), lookup(BOUND), redirect.clone()];
    let every = vec![TransportProtocol(FIRST), TargetPort(SECOND), lookup(ANY), redirect];
    vec![rule(PUBLISHED, "one address", [one]), rule(PUBLISHED, "every address", [every])]
}

fn came_by(link: &LinkName) -> Vec<Expression> {
    vec![InputName(FIRST), Equal(FIRST, padded(link))]
}

fn leaves_by(link: &LinkName) -> Vec<Expression> {
    vec![OutputName(FIRST), Equal(FIRST, padded(link))]
}

fn leaves_elsewhere(link: &LinkName) -> Vec<Expression> {
    vec![OutputName(FIRST), Unequal(FIRST, padded(link))]
}

/// A name as a register holds it.
fn padded(link: &LinkName) -> Vec<u8> {
    let mut name = link.as_str().as_bytes().to_vec();
    name.resize(16, 0);
    name
}

fn to_loopback() -> Vec<Expression> {
    vec![Target(FIRST), Mask(FIRST, vec![255, 0, 0, 0]), Equal(FIRST, vec![127, 0, 0, 0])]
}

fn from_loopback() -> Vec<Expression> {
    vec![Source(FIRST), Mask(FIRST, vec![255, 0, 0, 0]), Equal(FIRST, vec![127, 0, 0, 0])]
}

fn from_subnet(config: &NetConfig) -> Vec<Expression> {
    let octets = |address: Ipv4Addr| address.octets().to_vec();
    let subnet = config.subnet;
    vec![Source(FIRST), Mask(FIRST, octets(subnet.netmask())), Equal(FIRST, octets(subnet.network()))]
}

fn to_this_host() -> Vec<Expression> {
    vec![TargetKind(FIRST), Equal(FIRST, LOCAL.to_ne_bytes().to_vec())]
}

fn of_known_connection() -> Vec<Expression> {
    any_bit(ConnectionState(FIRST), KNOWN)
}

fn was_redirected() -> Vec<Expression> {
    any_bit(ConnectionStatus(FIRST), REDIRECTED)
}

fn any_bit(load: Expression, bits: u32) -> Vec<Expression> {
    vec![load, Mask(FIRST, bits.to_ne_bytes().to_vec()), Unequal(FIRST, vec![0; 4])]
}
