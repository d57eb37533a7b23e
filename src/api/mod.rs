//! ECS on the wire: checks, converts, writes intent, reads facts.

pub mod client;
