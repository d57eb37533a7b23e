//! What a process may do: capabilities, identity, resource limits, no_new_privs, names of the host, filters
//! of system calls.
//!
//! The setters act on the calling thread through bare system calls and allocate nothing, so that they can run
//! between clone and exec. Capabilities are known by name through the `caps` crate.

mod capability;
mod identity;
mod limit;
pub mod seccomp;

pub use capability::{
    CapabilitySet, bounding_of, clear_ambient, drop_bounding, held, keep_across_setuid, known, raise_ambient,
    set_capabilities,
};
pub use identity::{
    no_new_privileges, set_domain_name, set_group, set_groups, set_host_name, set_umask, set_user,
};
pub use limit::{Limit, limit_of, set_limit};
