//! Mounts, the new mount API, pivot_root.
