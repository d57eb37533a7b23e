//! Bytes to a root filesystem: references, registries and archives on one side, stored layers and images on the other.
//!
//! ```text
//! reference -> source (registry | layout | archive) -> resolved manifest
//!                 | bytes of each layer
//!                 v
//!           download -> layer: hash, decompress, hash -> ahead -> entries -> unpack -> store
//! ```
//!
//! [`store::ImageStore`] is the way in. Mounting is for others: an image is a list of directories. What this room keeps
//! true: a layer is visible only whole and checked, and nothing in a layer can reach outside its directory. It does
//! not know tasks, containers or the daemon; who uses an image is told to it when it asks what may go.

mod ahead;
pub mod copy;
pub mod credentials;
pub mod digest;
mod download;
pub mod entries;
mod flat;
pub mod inventory;
pub mod layer;
mod laying;
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

pub use flat::unpack_flat;
pub use laying::try_overlay;
