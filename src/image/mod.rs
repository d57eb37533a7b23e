//! Bytes to a root filesystem.

pub mod credentials;
pub mod digest;
mod download;
pub mod entries;
pub mod inventory;
pub mod layer;
pub mod layout;
mod locks;
pub mod lookup;
pub mod manifest;
pub mod pack;
pub mod platform;
pub mod pull;
pub mod push;
pub mod reference;
pub mod registry;
pub mod save;
pub mod source;
pub mod store;
mod stored;
pub mod unpack;
pub mod users;
