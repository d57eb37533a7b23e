//! Notices when somebody else changes what is ours.
//!
//! The kernel tells of every change to packet rules and links, and who caused it. [`NetworkWatch`] keeps both kinds of
//! news in one descriptor to wait on and answers one question: was ours touched by anybody but us? What to do about it
//! is the owner's decision, by the owner's loop.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::{NetConfig, NetError};
use crate::kernel::netlink::{Family, NetlinkError, Reply, Socket, link};
use crate::kernel::nftables;
use crate::kernel::readiness::Readable;

/// The family of news about ports of bridges, which is told again as news about links.
const BRIDGE_PORT_NEWS: u8 = 7;

/// News about one instance's table and bridge.
#[derive(Debug)]
pub struct NetworkWatch {
    both: Epoll,
    filter: Socket,
    route: Socket,
    own_port: u32,
    config: NetConfig,
    registered: Option<Readable>,
}

impl NetworkWatch {
    pub(super) fn start(config: &NetConfig, own_port: u32) -> Result<Self, NetError> {
        let (filter, route) = (Socket::open(Family::Netfilter)?, Socket::open(Family::Route)?);
        filter.join(nftables::NEWS_GROUP)?;
        route.join(link::NEWS_GROUP)?;
        let both = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(NetlinkError::Open)?;
        for socket in [&filter, &route] {
            both.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, 0)).map_err(NetlinkError::Open)?;
        }
        Ok(Self { both, filter, route, own_port, config: config.clone(), registered: None })
    }

    /// Waits, inside an async runtime, until ours was touched by somebody else. Dropping the wait loses nothing.
    pub async fn touched(&mut self) -> Result<(), NetError> {
        while !self.drain() {
            if self.registered.is_none() {
                self.registered = Some(Readable::register(self.both.0.as_fd()).map_err(NetError::Watch)?);
            }
            if let Some(registered) = &self.registered {
                registered.wait().await.map_err(NetError::Watch)?;
            }
        }
        Ok(())
    }

    /// Reads all news that has arrived: was ours touched by somebody else? Never blocks.
    ///
    /// Where news was lost the answer is yes.
    pub fn drain(&mut self) -> bool {
        let (own_port, table) = (self.own_port, self.config.table.as_str());
        let mut touched = false;
        let rules = self.filter.news(|news| {
            let is_ours = nftables::touched_table(news).is_some_and(|name| name == table);
            touched |= is_ours && news.port != own_port;
        });
        let config = &self.config;
        let links = self.route.news(|news| touched |= is_loss(news, config));
        touched || rules.is_err() || links.is_err()
    }
}

/// Whether a piece of news says that our bridge is gone or down, or that a task's link left it.
fn is_loss(news: &Reply<'_>, config: &NetConfig) -> bool {
    if news.payload.first() == Some(&BRIDGE_PORT_NEWS) {
        return false;
    }
    let bridge = config.bridge.as_str();
    if let Some(gone) = link::read_deleted(news) {
        return gone.name == bridge;
    }
    link::read(news).is_some_and(|link| {
        let is_labelled = link.alias == Some(config.label());
        is_labelled && (link.name == bridge || link.master.is_none()) && (!link.up || link.name != bridge)
    })
}

impl AsFd for NetworkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.both.0.as_fd()
    }
}
