//! Tasks reach what they should and are reached where they are published, and nothing of it stays behind.

mod firewall;
mod isolation;
mod lab;
mod lifecycle;
mod ports;
mod reach;
