//! The rules that the compiler does not hold: who may know whom, where `unsafe` lives, how long a file may be.
//!
//! Each rule says why it is there when it fails. [`source`] reads the tree; [`rooms`] holds the layering table,
//! which is the one in `docs/ARCHITECTURE.md`; [`files`] looks at each file by itself; [`scripts`] runs
//! what scripts do when a host lacks something.

mod files;
mod rooms;
mod scripts;
mod source;
mod unsafe_page;
