//! One OCI container, driven without a daemon.
