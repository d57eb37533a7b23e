//! Capabilities, no_new_privs, resource limits.
