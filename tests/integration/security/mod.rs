//! What a container cannot do.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod calls;
mod escape;
mod exec;
mod filter;
mod images;
mod inside;
mod neighbours;
mod page;
mod races;
mod reach;
mod siblings;
mod users;
