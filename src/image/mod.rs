//! Bytes to a root filesystem.
