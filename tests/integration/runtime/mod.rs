//! One OCI container through `hythe oci`: what it sees inside, what the host sees outside, what is refused, and that
//! nothing is left.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod container;
mod devices;
mod exec;
mod inside;
mod limits;
mod mounts;
mod outside;
mod refusals;
mod seccomp;
mod terminal;
mod unified;
