//! Tasks reach what they should and are reached where they are published, and nothing of it stays behind.

#![allow(clippy::unwrap_used)]

mod firewall;
mod isolation;
mod lab;
mod lifecycle;
mod ports;
mod reach;
