//! A network namespace for a task, before anybody is in it.

use std::os::fd::OwnedFd;

use crate::kernel::namespace;
use crate::net::NetError;

/// A new, empty network namespace. It lives as long as its descriptor or a process in it.
pub fn new_namespace() -> Result<OwnedFd, NetError> {
    namespace::new_network().map_err(NetError::NewNamespace)
}
