//! The way to a task's metadata, inside the task: port 80 of 169.254.170.2 is written over with the port that the shim
//! listens on, and back in what it answers.
//!
//! A listener on port 80 itself would keep every container of the task from listening there. Two rules that look at one
//! packet at a time need no connection tracking, which would cost each packet of the task. They see only what the task
//! sends, so nothing is led there that comes from outside.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::NetError;
use crate::kernel::netlink::{Family, Socket};
use crate::kernel::nftables::ChainKind::Filter;
use crate::kernel::nftables::Expression::{
    Equal, Load, Source, SourcePort, Target, TargetPort, TransportProtocol, WriteSourcePort, WriteTargetPort,
};
use crate::kernel::nftables::{self, Expression, Hook, Register, add_base_chain, add_table, append_rule};
use crate::model::network::{METADATA_ADDRESS, METADATA_LISTENER, METADATA_PORT, Protocol};

const TABLE: &str = "hythe";
const CHAIN: &str = "sending";
const VALUE: Register = Register(0);

/// Makes the rules in a namespace that is the task's own, unless they are there.
///
/// Nothing is ever deleted here: that would make the kernel wait for all processors.
pub(super) fn lead(netns: BorrowedFd<'_>) -> Result<(), NetError> {
    let batch = [
        nftables::begin(None),
        add_table(TABLE, "hythe, the way to the task's metadata"),
        add_base_chain(TABLE, CHAIN, Filter, Hook::Output, 0),
        append_rule(TABLE, CHAIN, "questions", &questions()),
        append_rule(TABLE, CHAIN, "answers", &answers()),
        nftables::end(),
    ];
    let made = Socket::open_in(netns, Family::Netfilter).and_then(|mut socket| socket.transact(&batch));
    match made {
        // The batch is made whole or not at all.
        Err(error) if error.refusal() == Some(Errno::EEXIST) => Ok(()),
        other => other.map_err(NetError::Inside),
    }
}

fn questions() -> Vec<Expression> {
    let is_it = [Target(VALUE), Equal(VALUE, METADATA_ADDRESS.octets().to_vec())];
    let port = [TargetPort(VALUE), Equal(VALUE, bytes(METADATA_PORT))];
    let write = [Load(VALUE, bytes(METADATA_LISTENER)), WriteTargetPort(VALUE)];
    [&is_it, &by_tcp(), &port, &write].into_iter().flatten().cloned().collect()
}

fn answers() -> Vec<Expression> {
    let is_it = [Source(VALUE), Equal(VALUE, METADATA_ADDRESS.octets().to_vec())];
    let port = [SourcePort(VALUE), Equal(VALUE, bytes(METADATA_LISTENER))];
    let write = [Load(VALUE, bytes(METADATA_PORT)), WriteSourcePort(VALUE)];
    [&is_it, &by_tcp(), &port, &write].into_iter().flatten().cloned().collect()
}

fn by_tcp() -> [Expression; 2] {
    [TransportProtocol(VALUE), Equal(VALUE, vec![Protocol::Tcp.number()])]
}

/// A port as a header has it.
fn bytes(port: u16) -> Vec<u8> {
    port.to_be_bytes().to_vec()
}
