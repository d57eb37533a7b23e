//! Bytes to a root filesystem.

pub mod digest;
pub mod entries;
pub mod inventory;
pub mod layer;
pub mod layout;
mod locks;
pub mod lookup;
pub mod manifest;
pub mod pack;
pub mod platform;
pub mod reference;
pub mod store;
mod stored;
pub mod unpack;
pub mod users;
