//! nftables over netlink: one table of ours, changed by one transaction.
