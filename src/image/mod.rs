//! Bytes to a root filesystem.

pub mod digest;
pub mod layer;
pub mod layout;
pub mod manifest;
pub mod pack;
pub mod platform;
pub mod reference;
