//! Linux: the only room with `unsafe`. One system call per wrapper, descriptors owned or borrowed, never integers.

pub mod cgroup;
pub mod clock;
pub mod event;
pub mod fs;
pub mod mapping;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod nftables;
pub mod process;
pub mod quota;
pub mod readiness;
pub mod resctrl;
pub mod security;
pub mod terminal;
