//! Paths that cannot escape: openat2, extended attributes, device nodes, syncfs.
