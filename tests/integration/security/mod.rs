//! What a container cannot do.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod escape;
mod filter;
mod inside;
mod reach;
