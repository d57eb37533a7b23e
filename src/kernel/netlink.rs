//! Route netlink: links, addresses, routes, in batches.
