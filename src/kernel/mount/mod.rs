//! Mounts by descriptor: new filesystems, copies of trees, attributes, and paths that stay inside a root.
//!
//! Everything goes through the descriptor-based calls (`fsopen`, `open_tree`, `move_mount`, `mount_setattr`): a mount
//! is made detached, given its attributes, and attached to a directory that was opened before. No path is looked up
//! twice, so swapping a directory for a link between two calls gains nothing. The calls need Linux 5.12.
//!
//! Nothing here allocates: the runtime calls it between clone and exec.

mod filesystem;
mod resolve;
mod tree;

pub use filesystem::{
    Filesystem, Keeping, MOST_OPENED_LAYERS, mount_opened_layers, mount_with_options, set_keeping,
};
pub use resolve::{MadeKind, make_in, open_directory, open_in, open_in_no_links, path_of};
pub use tree::{
    Attributes, Propagation, attach, clone_closed, clone_of, clone_tree, detach, is_closed, map_users,
    move_here, pivot_here, set_attributes, set_propagation,
};
