//! What others set up on this host that may keep packets from the tasks.
//!
//! A packet passes only when every table lets it pass, so accepting it in ours cannot help. Nothing of this is ours to
//! change; it is ours to name.

use std::fmt;
use std::fs;

use super::{NetConfig, NetError, bridge};
use crate::kernel::netlink::Socket;
use crate::kernel::nftables::{self, FoundChain};
use crate::model::network::Subnet;

const FORWARD: u32 = 2;

/// Something that may keep packets from the tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// A chain that drops forwarded packets which none of its rules accepts.
    ForwardDropped {
        /// The table's family: `ip` or `inet`.
        family: &'static str,
        /// The table.
        table: String,
        /// The chain.
        chain: String,
    },
    /// firewalld runs, which rejects forwarded packets of interfaces it was not told of.
    Firewalld,
    /// Rules of the older packet filter, which cannot be listed here.
    LegacyRules,
    /// A network that shares addresses with the instance's.
    Overlap {
        /// The network.
        network: Subnet,
        /// The interface it is reached by.
        link: String,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForwardDropped { family, table, chain } => {
                write!(
                    out,
                    "chain {chain} of nftables table {family} {table} drops forwarded packets by default"
                )
            }
            Self::Firewalld => out.write_str("firewalld rejects forwarded packets of the bridge"),
            Self::LegacyRules => {
                out.write_str("rules of iptables-legacy are loaded and may drop forwarded packets")
            }
            Self::Overlap { network, link } => {
                write!(out, "network {network} on {link} shares addresses with the tasks' subnet")
            }
        }
    }
}

impl Conflict {
    /// What a person can do about it.
    #[must_use]
    pub fn remedy(&self, config: &NetConfig) -> String {
        let bridge = &config.bridge;
        match self {
            Self::ForwardDropped { family, table, chain } => format!(
                "nft insert rule {family} {table} {chain} iifname {bridge} accept; nft insert rule {family} {table} \
                 {chain} oifname {bridge} accept"
            ),
            Self::Firewalld => format!(
                "firewall-cmd --permanent --zone=trusted --add-interface={bridge}; firewall-cmd --reload"
            ),
            Self::LegacyRules => "look at them: iptables-legacy -S FORWARD".to_owned(),
            Self::Overlap { .. } => {
                "choose another network in the configuration: [network] subnet".to_owned()
            }
        }
    }
}

/// Looks for conflicts.
pub(super) fn find(
    filter: &mut Socket,
    route: &mut Socket,
    config: &NetConfig,
) -> Result<Vec<Conflict>, NetError> {
    let chains = filter.query(&nftables::list_chains(), nftables::read_chain)?;
    let mut found: Vec<Conflict> = chains.into_iter().filter_map(|chain| conflict(chain, config)).collect();
    found.dedup();
    let legacy = fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap_or_default();
    if legacy.lines().any(|name| name == "filter") {
        found.push(Conflict::LegacyRules);
    }
    if let Some((network, link)) = bridge::overlap(route, config)? {
        found.push(Conflict::Overlap { network, link });
    }
    Ok(found)
}

fn conflict(chain: FoundChain, config: &NetConfig) -> Option<Conflict> {
    let family = match chain.family {
        1 => "inet",
        2 => "ip",
        _ => return None,
    };
    let is_ours = family == "ip" && chain.table == config.table;
    if chain.hook != Some(FORWARD) || is_ours {
        return None;
    }
    if chain.table == "firewalld" {
        return Some(Conflict::Firewalld);
    }
    chain.drops.then_some(Conflict::ForwardDropped { family, table: chain.table, chain: chain.chain })
}
