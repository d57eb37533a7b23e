//! Namespaces: unshare, setns, and handles to them.
