//! One OCI container through `hythe oci`: what it sees inside, what the host sees outside, what is refused, and that
//! nothing is left.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attributes;
mod container;
mod devices;
mod events;
mod exec;
mod features;
mod groups;
mod hooks;
mod hostile;
mod inside;
mod keys;
mod limits;
mod mounts;
mod net_devices;
mod ordinary_users;
mod outside;
mod own_program;
mod pty;
mod races;
mod refusals;
mod remounts;
mod seccomp;
mod specification;
mod systemd;
mod terminal;
mod unified;
mod users;
mod without_process;
