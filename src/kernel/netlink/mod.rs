//! Netlink: the kernel's own language for links, addresses, routes, connection tracking and packet rules.
//!
//! [`Message`] builds one request out of bytes and attributes, [`Socket`] sends requests in batches and reads the
//! answer to each, [`Attributes`] takes an answer apart. [`link`], [`address`], [`route`] and [`conntrack`] turn typed values into
//! messages and back and do no I/O; `crate::kernel::nftables` does the same for packet rules.
//!
//! The kernel works a batch off inside the send call, so every answer waits in the socket when the call returns:
//! nothing here blocks. A socket stays in the network namespace it was opened in, wherever its thread goes
//! afterwards; [`Socket::open_in`] makes one in another namespace.
//!
//! A refusal names the request that was refused and carries the kernel's own explanation where it gives one.

pub mod address;
pub mod conntrack;
pub mod link;
mod message;
mod reply;
pub mod route;
mod socket;

use nix::errno::Errno;

pub use message::{ACK, APPEND, CREATE, DUMP, EXCLUSIVE, Message, REPLACE};
pub use reply::{Attributes, Messages, Reply};
pub use socket::{Family, Socket};

/// Why a conversation with the kernel failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("open a netlink socket")]
    Open(#[source] Errno),
    /// No socket in another namespace.
    #[error("open a netlink socket in another network namespace")]
    Enter(#[source] Errno),
    /// No news from the kernel.
    #[error("subscribe to netlink group {group}")]
    Subscribe {
        /// The group's number.
        group: u32,
        /// What the kernel said.
        source: Errno,
    },
    /// A batch did not leave.
    #[error("send to the kernel: {what}")]
    Send {
        /// The first request of the batch.
        what: String,
        /// What the kernel said.
        source: Errno,
    },
    /// An answer did not arrive.
    #[error("read the kernel's answer to: {what}")]
    Receive {
        /// The request.
        what: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The kernel said no.
    #[error("{what}{}", explained(.explanation.as_deref()))]
    Refused {
        /// The request.
        what: String,
        /// The kernel's own words.
        explanation: Option<String>,
        /// The kind of refusal.
        source: Errno,
    },
}

impl NetlinkError {
    /// The kind of refusal, when the kernel said no.
    #[must_use]
    pub const fn refusal(&self) -> Option<Errno> {
        match self {
            Self::Refused { source, .. } => Some(*source),
            Self::Open(_)
            | Self::Enter(_)
            | Self::Subscribe { .. }
            | Self::Send { .. }
            | Self::Receive { .. } => None,
        }
    }
}

fn explained(explanation: Option<&str>) -> String {
    explanation
        .map(|words| format!(" (the kernel says: {})", words.trim_end_matches('.')))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
