//! A network namespace for a task, before anybody is in it.

use std::os::fd::OwnedFd;

use crate::kernel::mapping::{self, Mappings};
use crate::kernel::namespace;
use crate::net::NetError;

/// A new, empty network namespace. It lives as long as its descriptor or a process in it.
pub fn new_namespace() -> Result<OwnedFd, NetError> {
    namespace::new_network().map_err(NetError::NewNamespace)
}

/// The same where it belongs to users of its own: `count` of them, which are those from `first` on outside.
pub fn new_namespace_of_users(first: u32, count: u32) -> Result<OwnedFd, NetError> {
    let line = format!("0 {first} {count}\n");
    let mappings = Mappings { users: line.clone(), groups: line };
    mapping::new_network(&mappings).map_err(NetError::NewUsers)
}
